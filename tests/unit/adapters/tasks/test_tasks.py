"""How a job goes on: until there is nothing to do, with a breath where that gathers more."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.tasks.schedule import TASKS
from adapters.tasks.tasks import BATCH, Jobs
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.services.ordering import DecisionSummary


class Work:
    """Stands for the market: decides these batches, and notes what the job does in between."""

    def __init__(self, *batches: "int | Exception") -> None:
        self.batches = list(batches)
        self.done: list[str] = []
        self.ordering: Any = SimpleNamespace(decide=self._decide)
        self.relay: Any = SimpleNamespace(assign_sequence=self._number)
        market: Any = self
        views: Any = None
        self.jobs = Jobs(market, views, lambda: self.done.append("answer"), pause=lambda _: self.done.append("pause"))

    def _decide(self, _limit: int) -> DecisionSummary:
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        self.done.append(f"decide {batch}")
        return DecisionSummary(reserved=batch)

    def _number(self, _limit: int) -> int:
        self.done.append("number")
        return 0


def test_deciding_breathes_after_a_batch_that_was_not_full_and_ends_after_an_empty_one() -> None:
    work = Work(BATCH, 7, 0)
    work.jobs.decide_orders()
    assert work.done == ["answer", f"decide {BATCH}", "decide 7", "pause", "decide 0", "number"]


def test_who_finds_nothing_to_decide_leaves_the_events_to_others() -> None:
    work = Work(0)
    work.jobs.decide_orders()
    assert work.done == ["answer", "decide 0"]


def test_what_was_decided_before_the_database_went_away_is_numbered() -> None:
    work = Work(3, Unavailable("gone"))
    work.jobs.decide_orders()
    assert work.done == ["answer", "decide 3", "pause", "number"]


ORDERS = 2_000
"""Per second: more than one machine takes in."""


@pytest.mark.parametrize(
    ("job", "written"),
    [(Jobs.forget_idempotency_keys, ORDERS), (Jobs.forget_events, 3 * ORDERS)],
    ids=["a key of each order", "placed, reserved and paid"],
)
def test_what_is_forgotten_outruns_what_is_written(job: Callable[[Jobs], None], written: int) -> None:
    forgotten = 0

    def forget(limit: int) -> int:
        nonlocal forgotten
        forgotten += limit
        return limit

    market: Any = SimpleNamespace(
        ordering=SimpleNamespace(purge_idempotency_keys=forget), relay=SimpleNamespace(purge=forget)
    )
    views: Any = None
    job(Jobs(market, views, lambda: None))
    (every,) = (task.every for task in TASKS if task.job is job)
    assert forgotten / every.total_seconds() >= written
