"""Responses to requests whose commands are not complete by their deadline."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scalecommerce_core.ports import Transaction, commit_in_time
from scalecommerce_core.testing.memory.store import MemoryStore
from tests.unit.support.http_marketplace import Marketplace, marketplace

HANG_LIMIT = 20.0
"""Seconds after which a test that waits for a thread fails."""


class StuckStore:
    """Stops the transactions of a store, before or after their commit is sent, until `release`."""

    def __init__(self, store: MemoryStore, *, sends_commit: bool) -> None:
        self._begin, self._sends_commit = store.begin, sends_commit
        self._gate = threading.Event()
        self.finished = threading.Event()

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        try:
            with self._begin() as tx:
                yield tx
                if self._sends_commit:
                    with commit_in_time() as begin_commit:
                        begin_commit()
                assert self._gate.wait(HANG_LIMIT)
        finally:
            self.finished.set()

    def release(self) -> None:
        self._gate.set()
        assert self.finished.wait(HANG_LIMIT)


@pytest.fixture
def place() -> Iterator[Marketplace]:
    with marketplace(command_seconds=0.5) as place:
        yield place


@contextmanager
def stuck(place: Marketplace, monkeypatch: pytest.MonkeyPatch, *, sends_commit: bool) -> Iterator[StuckStore]:
    store = place.market.store
    assert isinstance(store, MemoryStore)
    stopped = StuckStore(store, sends_commit=sends_commit)
    with monkeypatch.context() as patched:
        patched.setattr(store, "begin", stopped.begin)
        yield stopped
        stopped.release()


def check(response: Any, effect: str, words: str) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"], problem["effect"]) == (503, "deadline_exceeded", effect)
    assert words in problem["detail"]
    assert response.headers["Retry-After"]


def test_an_order_whose_commit_does_not_return_is_answered_as_unknown(
    place: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller, buyer = place.person(), place.person()
    product = seller.list()["id"]
    body = {"order_item": [{"product": product, "quantity": 1}]}
    with stuck(place, monkeypatch, sends_commit=True):
        check(buyer.send("POST", "/orders/api/v1/", json=body), "unknown", "same Idempotency-Key")
        # The next order waits behind it.
        check(buyer.send("POST", "/orders/api/v1/", json=body), "none", "could not begin")


def test_an_edit_that_ends_after_its_deadline_changes_nothing(
    place: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = place.person()
    product = seller.list()
    with stuck(place, monkeypatch, sends_commit=False):
        path = f"/products/api/v1/{product['id']}/"
        check(seller.send("PATCH", path, json={"price": "1.00"}), "none", "Nothing was changed")
    assert seller.send("GET", path).json()["price"] == product["price"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        # In a reader thread
        ("POST", "/products/api/v1/categories/", {"name": "Tea"}),
        # In a hasher thread
        ("POST", "/users/api/v1/sign-up/", {"email": "new@example.com", "password": "a long password"}),
    ],
)
def test_infrequent_writes_have_a_deadline_too(
    place: Marketplace, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: dict[str, Any]
) -> None:
    person = place.person(is_staff=True)
    with stuck(place, monkeypatch, sends_commit=False):
        check(person.send(method, path, json=body), "none", "was undone")


@pytest.mark.parametrize("action", ["cancel", "revoke-sessions"])
def test_a_change_that_was_committed_before_the_read_for_its_response_is_not_denied(
    place: Marketplace, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    buyer, staff = place.person(), place.person(is_staff=True)
    gate = threading.Event()
    queries = place.market.queries
    if action == "cancel":
        # By a batch
        order = buyer.place((place.person().list()["id"], 1))
        path, query = f"/operations/api/v1/orders/{order['id']}/cancel/", "order_details"
    else:
        # By a reader thread
        path, query = f"/users/api/v1/{buyer.id}/revoke-sessions/", "account_details"
    read = getattr(queries, query)

    def read_late(*arguments: Any) -> Any:
        assert gate.wait(HANG_LIMIT)
        return read(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(queries, query, read_late)
        response = staff.send("POST", path, json={"reason": "Asked for it."})
        gate.set()
    check(response, "unknown", "unknown whether it has taken effect")
