import logging
from datetime import timedelta

import pytest
from attrs import define, field

from adapters.db.validation_backlog import Backlog, LockHolder
from entrypoints.watchdog import MAX_DOUBLINGS, StallDetector, Watchdog, WorkerState
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import OrderId

NAME = "scalecommerce worker 1 here"


def of(oldest: int | None, *, begun: int = 0, turn: LockHolder | None = None) -> WorkerState:
    if oldest is None:
        return WorkerState(Backlog(None, lock_holder=turn), begun)
    return WorkerState(Backlog(OrderId(oldest), timedelta(seconds=40), turn), begun)


@define
class WatchdogBench:
    """A watchdog with a timeout of 30 s, one check every 5 s, and worker states that the test chooses."""

    restarts: int = 0
    state: WorkerState | None = None
    now: float = 1_000.0
    requests: int = 0
    ends: int = 0
    watchdog: Watchdog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.watchdog = Watchdog(
            StallDetector(30, NAME),
            read_state=self._read_state,
            counter=self,
            request_decision=self._request_decision,
            end_worker=self._end_worker,
            clock=lambda: self.now,
        )

    def check(self, *states: WorkerState | None) -> int:
        """Run one check per state; return how often the worker was ended. None: a server does not answer."""
        before = self.ends
        for self.state in states:
            self.now += 5
            self.watchdog.check()
        return self.ends - before

    def get(self) -> int:
        return self.restarts

    def increment(self) -> None:
        self.restarts += 1

    def reset(self) -> None:
        self.restarts = 0

    def _read_state(self) -> WorkerState:
        if self.state is None:
            raise Unavailable("away")
        return self.state

    def _request_decision(self) -> None:
        self.requests += 1

    def _end_worker(self) -> None:
        self.ends += 1


@pytest.fixture
def bench() -> WatchdogBench:
    return WatchdogBench()


def test_an_idle_worker_is_not_ended(bench: WatchdogBench) -> None:
    assert bench.check(*[of(None)] * 50) == 0
    assert bench.requests == 0


def test_a_worker_that_decides_is_not_ended_at_any_backlog(bench: WatchdogBench) -> None:
    assert bench.check(*[of(number) for number in range(50)]) == 0


def test_a_worker_that_has_stopped_consuming_ends(bench: WatchdogBench, caplog: pytest.LogCaptureFixture) -> None:
    assert bench.check(*[of(7)] * 6) == 0
    assert bench.requests == 6
    assert bench.check(of(7)) == 1
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "order 7 has waited 40 s" in record.message
    assert "has begun no decision for 30 s" in record.message


def test_time_without_a_server_is_not_counted(bench: WatchdogBench) -> None:
    assert bench.check(*[of(7)] * 6, None, *[of(7)] * 6, None, *[None] * 20, *[of(7)] * 6) == 0
    assert bench.check(of(7)) == 1


def test_a_worker_whose_decisions_fail_is_not_ended(bench: WatchdogBench, caplog: pytest.LogCaptureFixture) -> None:
    assert bench.check(*[of(7, begun=number) for number in range(50)]) == 0
    (record,) = caplog.records
    assert "this worker runs the task" in record.message
    assert "would not help" in record.message


def test_a_worker_whose_task_hangs_ends(bench: WatchdogBench) -> None:
    assert bench.check(*[of(7, begun=number) for number in range(5)]) == 0
    assert bench.check(*[of(7, begun=4)] * 3) == 1


def test_a_lock_of_another_session_is_reported_once(bench: WatchdogBench, caplog: pytest.LogCaptureFixture) -> None:
    held = LockHolder(4711, "psql", timedelta(minutes=5))
    assert bench.check(*[of(7, turn=held)] * 50) == 0
    (record,) = caplog.records
    assert "session 4711 (psql) has held the decider's lock for 0:05:00" in record.message
    bench.check(of(None), *[of(8, turn=held)] * 10)
    assert len(caplog.records) == 2


def test_a_lock_that_a_child_holds_for_too_long_ends_the_worker(bench: WatchdogBench) -> None:
    """One child is stuck in its transaction, so the others cannot get the decider's lock."""
    held = LockHolder(4711, NAME, timedelta(minutes=5))
    assert bench.check(*[of(7, begun=number, turn=held) for number in range(7)]) == 1


def test_a_lock_that_was_just_taken_is_no_cause(bench: WatchdogBench) -> None:
    assert bench.check(*[of(7, turn=LockHolder(4711, "another worker", timedelta(seconds=0.1)))] * 7) == 1


def test_restarts_without_effect_have_doubling_intervals(bench: WatchdogBench) -> None:
    looks = []
    for _ in range(MAX_DOUBLINGS + 3):
        bench.start()
        count = 0
        while not bench.check(of(7)):
            count += 1
        looks.append(count)
    assert looks[:4] == [6, 12, 24, 48]
    assert looks[-1] == looks[-2] == 6 * 2**MAX_DOUBLINGS


@pytest.mark.parametrize("after", [of(8), of(None)])
def test_progress_resets_the_restart_counter(bench: WatchdogBench, after: WorkerState) -> None:
    bench.restarts = 2
    bench.start()
    bench.check(of(7))
    assert bench.restarts == 2
    bench.check(after)
    assert bench.restarts == 0
    assert bench.check(*[of(9)] * 7) == 1
