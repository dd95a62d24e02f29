import logging
from datetime import timedelta

import pytest
from attrs import define, field

from adapters.db.validation_backlog import Backlog, LockHolder
from entrypoints.watchdog import MOST_DOUBLINGS, Seen, Stall, Watchdog
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import OrderId

NAME = "scalecommerce worker 1 here"


def of(oldest: int | None, *, begun: int = 0, turn: LockHolder | None = None) -> Seen:
    if oldest is None:
        return Seen(Backlog(None, lock_holder=turn), begun)
    return Seen(Backlog(OrderId(oldest), timedelta(seconds=40), turn), begun)


@define
class Kennel:
    """A watchdog with thirty seconds of patience; what it sees is set from outside, one look every five seconds."""

    stored: int = 0
    sight: Seen | None = None
    now: float = 1_000.0
    nudges: int = 0
    ends: int = 0
    dog: Watchdog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.dog = Watchdog(
            Stall(30, NAME), look=self._look, memory=self, nudge=self._nudge, end=self._end, clock=lambda: self.now
        )

    def sees(self, *sights: Seen | None) -> int:
        """How often it has ended the worker meanwhile; None stands for a server that does not answer."""
        before = self.ends
        for self.sight in sights:
            self.now += 5
            self.dog.look()
        return self.ends - before

    def restarts(self) -> int:
        return self.stored

    def restarting(self) -> None:
        self.stored += 1

    def forget(self) -> None:
        self.stored = 0

    def _look(self) -> Seen:
        if self.sight is None:
            raise Unavailable("away")
        return self.sight

    def _nudge(self) -> None:
        self.nudges += 1

    def _end(self) -> None:
        self.ends += 1


@pytest.fixture
def kennel() -> Kennel:
    return Kennel()


def test_a_worker_with_nothing_to_do_is_left_in_peace(kennel: Kennel) -> None:
    assert kennel.sees(*[of(None)] * 50) == 0
    assert kennel.nudges == 0


def test_a_worker_that_decides_is_left_in_peace_however_much_waits(kennel: Kennel) -> None:
    assert kennel.sees(*[of(number) for number in range(50)]) == 0


def test_a_worker_that_has_stopped_consuming_ends(kennel: Kennel, caplog: pytest.LogCaptureFixture) -> None:
    assert kennel.sees(*[of(7)] * 6) == 0
    assert kennel.nudges == 6
    assert kennel.sees(of(7)) == 1
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "order 7 has waited 40 s" in record.message
    assert "has begun no decision for 30 s" in record.message


def test_time_without_a_server_does_not_count(kennel: Kennel) -> None:
    assert kennel.sees(*[of(7)] * 6, None, *[of(7)] * 6, None, *[None] * 20, *[of(7)] * 6) == 0
    assert kennel.sees(of(7)) == 1


def test_a_worker_that_decides_and_fails_is_not_helped_by_a_restart(
    kennel: Kennel, caplog: pytest.LogCaptureFixture
) -> None:
    assert kennel.sees(*[of(7, begun=number) for number in range(50)]) == 0
    (record,) = caplog.records
    assert "this worker runs the task" in record.message
    assert "would not help" in record.message


def test_a_worker_that_began_and_never_came_back_ends(kennel: Kennel) -> None:
    assert kennel.sees(*[of(7, begun=number) for number in range(5)]) == 0
    assert kennel.sees(*[of(7, begun=4)] * 3) == 1


def test_a_turn_that_somebody_else_holds_is_named_once(kennel: Kennel, caplog: pytest.LogCaptureFixture) -> None:
    held = LockHolder(4711, "psql", timedelta(minutes=5))
    assert kennel.sees(*[of(7, turn=held)] * 50) == 0
    (record,) = caplog.records
    assert "session 4711 (psql) has held the decider's lock for 0:05:00" in record.message
    kennel.sees(of(None), *[of(8, turn=held)] * 10)
    assert len(caplog.records) == 2


def test_a_turn_that_its_own_child_holds_for_too_long_ends_it(kennel: Kennel) -> None:
    """One child is stuck in its transaction, the others find no turn."""
    held = LockHolder(4711, NAME, timedelta(minutes=5))
    assert kennel.sees(*[of(7, begun=number, turn=held) for number in range(7)]) == 1


def test_a_turn_just_taken_is_nobodys_fault(kennel: Kennel) -> None:
    assert kennel.sees(*[of(7, turn=LockHolder(4711, "another worker", timedelta(seconds=0.1)))] * 7) == 1


def test_restarts_that_do_not_help_come_at_growing_intervals(kennel: Kennel) -> None:
    looks = []
    for _ in range(MOST_DOUBLINGS + 3):
        kennel.restart()
        count = 0
        while not kennel.sees(of(7)):
            count += 1
        looks.append(count)
    assert looks[:4] == [6, 12, 24, 48]
    assert looks[-1] == looks[-2] == 6 * 2**MOST_DOUBLINGS


@pytest.mark.parametrize("after", [of(8), of(None)])
def test_a_restart_that_helped_is_forgotten(kennel: Kennel, after: Seen) -> None:
    kennel.stored = 2
    kennel.restart()
    kennel.sees(of(7))
    assert kennel.stored == 2
    kennel.sees(after)
    assert kennel.stored == 0
    assert kennel.sees(*[of(9)] * 7) == 1
