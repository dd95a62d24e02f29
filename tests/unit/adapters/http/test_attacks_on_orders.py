"""The attacks on reservations and prices of `tests/attacks` in their short form: on the application in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from tests.attacks.attack import Attack, AttackReport, Phase, Usage
from tests.attacks.scripts.mistaken_prices import MomentaryPrice, WithdrawnPrice
from tests.attacks.scripts.reservations import HeldStock, LimitPerBuyer, OpenOrders
from tests.attacks.target import Account, HttpSession, Reply, Target
from tests.unit.support.http_marketplace import DecideAtOnce, Marketplace, Visitor, marketplace

IDLE = Phase({}, Usage(1.0, 0.0, 0, 0, 0, 0))


class _Session:
    """Requests to the application in memory."""

    def __init__(self, place: Marketplace) -> None:
        self._place = place

    def request(self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> Reply:
        visitor = Visitor(self._place.client, token or None)
        response = visitor.send(method, path, json=body, headers=headers)
        return Reply(response.status_code, dict(response.headers), response.content)


class _TargetInMemory(Target):
    place: Marketplace

    def log_in(self, account: Account, address: str = "") -> str:  # noqa: ARG002 - of the base class
        return self.place.market.accounts.log_in(account.email, account.password).access

    def request(
        self, method: str, path: str, body: object = None, *, token: str = "", address: str = "", **headers: str
    ) -> Reply:
        with self.session(address) as session:
            return session.request(method, path, body, token=token, **headers)

    @contextmanager
    def session(self, address: str = "", timeout: float = 0) -> Iterator[HttpSession]:  # noqa: ARG002 - as above
        yield cast("HttpSession", _Session(self.place))


def target_of(place: Marketplace) -> Target:
    people = [place.person() for _ in range(3)]
    product = people[0].list(stock=10**6)["id"]
    target = _TargetInMemory(
        "memory",
        0,
        buyers=[Account(person.email, "a long password") for person in people],
        products=[product],
        plentiful=[product],
    )
    object.__setattr__(target, "place", place)
    return target


@pytest.fixture
def quick() -> Iterator[Marketplace]:
    """A market that decides each order as soon as it is placed."""
    with marketplace(notifier=DecideAtOnce) as place:
        yield place


@pytest.mark.parametrize("attack", [HeldStock(), OpenOrders(), LimitPerBuyer(), MomentaryPrice(), WithdrawnPrice()])
def test_an_attack_on_orders_or_prices_fails(
    quick: Marketplace, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def advance(_attack: Attack, seconds: float) -> None:
        quick.clock.advance(seconds=seconds)

    if attack.topic == "mistaken_prices":
        monkeypatch.setattr(type(attack), "wait", advance)
    figures = attack.run(target_of(quick))
    assert figures.requests > 3
    assert attack.check(AttackReport(attack.name, attack.topic, figures, IDLE, IDLE, IDLE)) == []
