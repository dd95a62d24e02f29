"""Intake while orders are undecided, on real servers with two API processes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg
import pytest
from sqlalchemy import make_url

from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually
from tests.integration.test_serve import children

ORDERS: Final = "/orders/api/v1/"


@pytest.fixture
def engine(tmp_path: Path, redis_url: str, database: str) -> Iterator[Deployment]:
    settings = {"MAX_DECISION_WAIT_SECONDS": "3", "WORKER_STALL_TIMEOUT_SECONDS": "600", "DECIDE_AT_INTAKE": "false"}
    with Deployment(tmp_path, database, redis_url, workers=2, **settings) as engine:
        yield engine


@contextmanager
def frozen_worker(engine: Deployment) -> Iterator[None]:
    """Stop all processes of the worker, as a frozen machine does."""
    group = os.getpgid(engine.commands["worker"].process.pid)
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


class Buyer:
    def __init__(self, engine: Deployment) -> None:
        self._engine = engine
        self._client = engine.person("buyer")
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 1_000_000}
        self._product = self._client.post("/products/api/v1/", json=product).json()["id"]
        self.accepted: list[int] = []

    def order(self, key: str = "") -> httpx2.Response:
        """Order from whichever process accepts a new connection."""
        wanted = {"order_item": [{"product": self._product, "quantity": 1}]}
        headers = {"Authorization": self._client.headers["Authorization"], **({"Idempotency-Key": key} if key else {})}
        response = httpx2.post(f"{self._engine.url}{ORDERS}", json=wanted, headers=headers, timeout=60)
        if response.status_code == 202:
            self.accepted.append(response.json()["id"])
        return response

    def status(self, order: int) -> str:
        return str(self._client.get(f"{ORDERS}{order}/").json()["status"])


def readiness(engine: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{engine.url}/readyz", timeout=60).json()
    return found


def test_orders_are_refused_while_no_worker_decides_and_accepted_afterwards(engine: Deployment) -> None:
    buyer = Buyer(engine)
    assert buyer.order().status_code == 202
    with frozen_worker(engine):
        first = buyer.order("a")
        assert first.status_code == 202
        # Below the limit, orders are accepted.
        assert buyer.order().status_code == 202

        def refused() -> httpx2.Response | None:
            response = buyer.order()
            return response if response.status_code != 202 else None

        problem = eventually(refused, "a refused order")
        assert problem.status_code == 503
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.json()["code"] == "order_backlog_full"
        assert int(problem.headers["retry-after"]) >= 3
        eventually(lambda: not readiness(engine)["accepts_orders"], "a process that accepts no orders")
        # The response of an accepted order is repeated.
        again = buyer.order("a")
        assert (again.status_code, again.json()) == (202, first.json())
    eventually(lambda: buyer.order().status_code == 202, "an accepted order")
    eventually(lambda: readiness(engine)["status"] == "ok", "readiness")
    check_decided(engine, buyer)


def test_the_crash_of_one_of_two_processes_loses_no_accepted_order(engine: Deployment) -> None:
    buyer = Buyer(engine)
    for _ in range(5):
        assert buyer.order().status_code == 202
    server = engine.commands["serve"].process.pid
    crashed, other = children(server)
    os.kill(crashed, signal.SIGKILL)

    def is_replaced() -> bool:
        found = children(server)
        return crashed not in found and other in found and len(found) == 2

    eventually(is_replaced, "another process")
    for _ in range(5):
        eventually(lambda: is_accepted(buyer), "an accepted order")
    check_decided(engine, buyer)


def is_accepted(buyer: Buyer) -> bool:
    try:
        return buyer.order().status_code == 202
    except httpx2.TransportError:
        return False


def check_decided(engine: Deployment, buyer: Buyer) -> None:
    """Every accepted order is decided, and no other exists."""
    for order in buyer.accepted:
        eventually(lambda order=order: buyer.status(order) == "PENDING", "the decision")  # type: ignore[misc]
    with psycopg.connect(plain(engine.database_url)) as connection:
        rows = connection.execute("SELECT id FROM orders ORDER BY id").fetchall()
    assert [id_ for (id_,) in rows] == sorted(set(buyer.accepted))


def plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
