"""A database behind a network that loses all packets: deadlines, readiness, and the end of a stuck API process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.integration.black_hole_proxy import BlackHoleProxy, black_hole_proxy
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually
from tests.integration.test_serve import children

ORDERS = "/orders/api/v1/"


@pytest.fixture
def proxy(database: str) -> Iterator[BlackHoleProxy]:
    with black_hole_proxy(database) as proxy:
        yield proxy


@pytest.fixture
def api(tmp_path: Path, redis_url: str, proxy: BlackHoleProxy) -> Iterator[Deployment]:
    api = Deployment(
        tmp_path, proxy.url, redis_url, COMMAND_DEADLINE_SECONDS="2", API_STALL_TIMEOUT_SECONDS="4", CACHE_MEGABYTES="0"
    )
    api.start("serve")
    try:
        api.find()
        yield api
    finally:
        api.end()


class Buyer:
    """A buyer who orders one piece at a time, with an Idempotency-Key."""

    def __init__(self, api: Deployment) -> None:
        self._client = api.person("buyer")
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 100}
        self._product = self._client.post("/products/api/v1/", json=product).json()["id"]

    def order(self, key: str) -> httpx2.Response:
        wanted = {"order_item": [{"product": self._product, "quantity": 1}]}
        return self._client.post(ORDERS, json=wanted, headers={"Idempotency-Key": key})

    def orders(self) -> list[Any]:
        found: list[Any] = self._client.get(ORDERS).json()["results"]
        return found


def is_ready(api: Deployment) -> bool:
    try:
        return httpx2.get(f"{api.url}/readyz", timeout=30).is_success
    except httpx2.TransportError:
        return False


def readiness_problem(api: Deployment) -> str:
    """Why the API is not ready; empty if it is."""
    try:
        response = httpx2.get(f"{api.url}/readyz", timeout=30)
    except httpx2.TransportError:
        return ""
    return "" if response.is_success else str(response.json()["detail"])


def check_problem(response: httpx2.Response, effect: str) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, "deadline_exceeded"), response.text
    assert problem["effect"] == effect


def test_a_process_behind_a_black_hole_answers_in_time_and_ends_itself_when_the_hole_is_gone(
    api: Deployment, proxy: BlackHoleProxy
) -> None:
    serve = api.commands["serve"]
    buyer = Buyer(api)
    assert buyer.order("first").status_code == 202
    assert is_ready(api)
    (process,) = children(serve.process.pid)

    proxy.drop_all()
    # The statements before the COMMIT are not answered.
    check_problem(buyer.order("second"), "none")
    # The thread is stuck, so this one is not begun.
    check_problem(buyer.order("third"), "none")
    eventually(lambda: not is_ready(api), "an API that is not ready")
    serve.says("a restart of this process would not help")
    assert children(serve.process.pid) == [process]

    proxy.accept_new()
    eventually(lambda: children(serve.process.pid) not in ([], [process]), "another process")
    eventually(lambda: is_ready(api), "a ready API")
    assert [buyer.order(key).status_code for key in ("first", "second", "third")] == [202, 202, 202]
    assert len(buyer.orders()) == 3
    assert "Traceback" not in serve.text()


def test_an_order_whose_commit_is_not_answered_is_unknown_and_its_repetition_finds_it(
    api: Deployment, proxy: BlackHoleProxy
) -> None:
    buyer = Buyer(api)
    assert buyer.order("first").status_code == 202
    proxy.drop_answers_after(b"INSERT INTO orders")
    # The COMMIT is sent together with the INSERT.
    check_problem(buyer.order("second"), "unknown")
    eventually(lambda: is_ready(api), "a ready API")
    assert buyer.order("second").status_code == 202
    assert len(buyer.orders()) == 2


@pytest.mark.parametrize(
    ("pool", "path", "body", "table"),
    [
        ("hasher", "/users/api/v1/token/", {"email": "nobody@example.com", "password": "x"}, b"accounts"),
        ("reader", "/webhooks/api/v1/", {"url": "https://example.com/hook"}, b"webhook_endpoints"),
    ],
)
def test_a_process_with_a_stuck_thread_is_not_ready_and_ends_itself(
    api: Deployment, proxy: BlackHoleProxy, *, pool: str, path: str, body: dict[str, str], table: bytes
) -> None:
    serve = api.commands["serve"]
    client = api.person("seller")
    (process,) = children(serve.process.pid)
    proxy.drop_answers_after(table)
    check_problem(client.post(path, json=body), "none")
    # New connections work, so that only the stuck thread makes the process not ready.
    eventually(lambda: f"a call in a thread of the pool '{pool}'" in readiness_problem(api), "a reported thread")
    eventually(lambda: children(serve.process.pid) not in ([], [process]), "another process")
    eventually(lambda: is_ready(api), "a ready API")
    assert client.post(path, json=body).status_code != 503
    assert f"a call in a thread of the pool '{pool}' has been running" in serve.text()
    assert "Traceback" not in serve.text()
