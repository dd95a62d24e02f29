"""How tasks repeat their batches."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.tasks.schedule import TASKS
from adapters.tasks.tasks import BATCH_SIZE, BackgroundTasks
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.services.ordering import DecisionSummary


class FakeMarket:
    """A stand-in for the market: decides batches of the given sizes and logs the calls in `done`."""

    def __init__(self, *batches: "int | Exception") -> None:
        self.batches = list(batches)
        self.done: list[str] = []
        self.ordering: Any = SimpleNamespace(decide=self._decide)
        self.relay: Any = SimpleNamespace(assign_sequence=self._assign_sequence)
        market: Any = self
        views: Any = None
        self.tasks = BackgroundTasks(
            market, views, lambda: self.done.append("acknowledge"), sleep=lambda _: self.done.append("sleep")
        )

    def _decide(self, _limit: int) -> DecisionSummary:
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        self.done.append(f"decide {batch}")
        return DecisionSummary(reserved=batch)

    def _assign_sequence(self, _limit: int) -> int:
        self.done.append("number")
        return 0


def test_deciding_sleeps_after_a_batch_that_is_not_full_and_ends_after_an_empty_one() -> None:
    market = FakeMarket(BATCH_SIZE, 7, 0)
    market.tasks.decide_orders()
    assert market.done == ["acknowledge", f"decide {BATCH_SIZE}", "decide 7", "sleep", "decide 0", "number"]


def test_deciding_nothing_numbers_no_events() -> None:
    market = FakeMarket(0)
    market.tasks.decide_orders()
    assert market.done == ["acknowledge", "decide 0"]


def test_events_are_numbered_when_the_database_fails_after_a_decision() -> None:
    market = FakeMarket(3, Unavailable("gone"))
    market.tasks.decide_orders()
    assert market.done == ["acknowledge", "decide 3", "sleep", "number"]


def test_a_repeated_reason_of_a_delay_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    market = FakeMarket(*[Unavailable("no primary"), Unavailable("no primary"), Unavailable("no network")])
    for _ in range(3):
        market.tasks.decide_orders()
    assert caplog.messages == [f"background work is delayed: {reason}" for reason in ("no primary", "no network")]


ORDERS = 2_000
"""Per second; above the capacity of one machine."""


@pytest.mark.parametrize(
    ("task", "written"),
    [(BackgroundTasks.purge_idempotency_keys, ORDERS), (BackgroundTasks.purge_events, 3 * ORDERS)],
    ids=["a key of each order", "placed, reserved and paid"],
)
def test_purging_is_faster_than_the_largest_load_writes(task: Callable[[BackgroundTasks], None], written: int) -> None:
    purged = 0

    def purge(limit: int) -> int:
        nonlocal purged
        purged += limit
        return limit

    market: Any = SimpleNamespace(
        ordering=SimpleNamespace(purge_idempotency_keys=purge), relay=SimpleNamespace(purge=purge)
    )
    views: Any = None
    task(BackgroundTasks(market, views, lambda: None))
    (every,) = (each.every for each in TASKS if each.run is task)
    assert purged / every.total_seconds() >= written


def test_a_sweep_of_promotions_ends_after_an_empty_batch() -> None:
    batches = [BATCH_SIZE, 7, 0, 1]
    market: Any = SimpleNamespace(promotions=SimpleNamespace(sweep=lambda _limit: batches.pop(0)))
    views: Any = None
    BackgroundTasks(market, views, lambda: None).sweep_promotions()
    assert batches == [1]
    (every,) = (each.every for each in TASKS if each.run is BackgroundTasks.sweep_promotions)
    assert every == timedelta(seconds=1), "the delay that docs/operations.md states"
