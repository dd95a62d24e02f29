"""A payment whose API is killed while the gateway answers: worker and beat find its result."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine, text

from adapters.db.core.engine import database_engine
from adapters.embedded.redis import EmbeddedRedis
from tests.integration.deployment import Deployment, await_resource
from tests.integration.engine_process import eventually

ORDERS = "/orders/api/v1/"


@pytest.fixture
def deployment(tmp_path: Path, make_database: Callable[[], str]) -> Iterator[Deployment]:
    (tmp_path / "redis").mkdir()
    with EmbeddedRedis(tmp_path / "redis") as redis_server:
        running = Deployment(tmp_path, make_database(), redis_server.url, PAYMENT_SECONDS="2")
        with running:
            yield running


@pytest.fixture
def engine(deployment: Deployment) -> Iterator[Engine]:
    engine = database_engine(deployment.database_url)
    yield engine
    engine.dispose()


def answer(response: httpx2.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def total(engine: Engine, table: str) -> int:
    """The sum of the amounts in a table of the sandbox gateway."""
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT coalesce(sum(amount), 0) FROM {table}")) or 0)  # noqa: S608 - ours


def test_a_kill_in_the_middle_of_a_charge_loses_neither_money_nor_order(deployment: Deployment, engine: Engine) -> None:
    seller, buyer = deployment.person("seller"), deployment.person("buyer")
    pot = {"name": "Tea pot", "category_id": 1, "price": "10.00", "stock": 5}
    made = answer(seller.post("/products/api/v1/", json=pot), 201)
    wanted = {"order_item": [{"product": made["id"], "quantity": 3}]}
    order = answer(buyer.post(ORDERS, json=wanted, headers={"Prefer": "wait=30"}), 201)
    path = f"{ORDERS}{order['id']}/"
    failures: list[BaseException] = []

    def pay() -> None:
        try:
            buyer.post(f"{path}pay/", json={"payment_method": "sandbox-slow"})
        except httpx2.TransportError as error:
            failures.append(error)

    paying = threading.Thread(target=pay)
    paying.start()
    eventually(lambda: total(engine, "sandbox_charges") == 30_00, "the charge")
    os.killpg(deployment.commands["serve"].process.pid, signal.SIGKILL)
    paying.join(60)
    # The gateway has the money, and its answer was lost.
    assert len(failures) == 1
    assert total(engine, "sandbox_charges") == 30_00

    deployment.commands["serve"].process.wait()
    deployment.start("serve")
    deployment.find()
    for client in (seller, buyer):
        client.base_url = httpx2.URL(deployment.url)
    assert await_resource(buyer, path, lambda document: document["status"] == "PAID")
    assert answer(buyer.post(f"{path}pay/"))["status"] == "PAID"
    await_resource(buyer, f"/products/api/v1/{made['id']}/", lambda shown: shown["stock"] == 2)

    refund = {"lines": [{"product": made["id"], "quantity": 1}]}
    answer(seller.post(f"{path}refunds/", json=refund), 201)
    eventually(lambda: total(engine, "sandbox_refunds") == 10_00, "the refund")
    assert total(engine, "sandbox_charges") == 30_00
