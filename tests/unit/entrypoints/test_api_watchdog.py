import logging
from collections.abc import Callable

import pytest
from attrs import define, field

from adapters.http.execution.progress import LongestRunning
from entrypoints.api_watchdog import ApiWatchdog
from scalecommerce_core.domain.errors import Unavailable

TIMEOUT = 30.0


@define
class Counter:
    """A restart counter that is away while `is_away`."""

    value: int = 0
    is_away: bool = False

    def get(self) -> int:
        self._check()
        return self.value

    def increment(self) -> None:
        self._check()
        self.value += 1

    def reset(self) -> None:
        self._check()
        self.value = 0

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("Redis does not answer.")


@define
class Process:
    """A process under observation: a batch that runs since `batch_since`, and an event loop that may be stuck."""

    counter: Counter = field(factory=Counter)
    now: float = 1_000.0
    batch_since: float | None = None
    loop_is_stuck: bool = False
    outer_cause: str = ""
    is_database_away: bool = False
    ends: int = 0
    watchdog: ApiWatchdog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.watchdog = ApiWatchdog(
            TIMEOUT, self.longest, self.run_in_loop, self.find_cause, self.counter, self.end, lambda: self.now
        )

    def longest(self) -> LongestRunning | None:
        return (
            None
            if self.batch_since is None
            else LongestRunning("commands of the kind 'place' have been running", self.now - self.batch_since)
        )

    def run_in_loop(self, call: Callable[[], None]) -> None:
        if not self.loop_is_stuck:
            call()

    def find_cause(self) -> str:
        if self.is_database_away:
            raise Unavailable("The database cannot be reached.")
        return self.outer_cause

    def end(self) -> None:
        self.ends += 1

    def has_ended(self) -> bool:
        return self.ends > 0

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with regular checks; stop at the end of the process."""
        ends = self.now + seconds
        while self.now < ends and not self.has_ended():
            self.now += self.watchdog.interval
            self.watchdog.check()


def test_a_process_with_a_stuck_batch_ends_after_the_timeout() -> None:
    process = Process()
    process.batch_since = process.now
    process.pass_time(TIMEOUT - 5)
    assert not process.has_ended()
    process.pass_time(5)
    assert process.has_ended()
    assert process.counter.value == 1


def test_a_process_with_a_stuck_event_loop_ends_after_the_timeout() -> None:
    process = Process(loop_is_stuck=True)
    process.pass_time(TIMEOUT)
    assert process.has_ended()


def test_a_process_whose_batches_end_goes_on() -> None:
    process = Process()
    for _ in range(20):
        process.batch_since = process.now
        process.pass_time(TIMEOUT - 10)
    assert not process.has_ended()


@pytest.mark.parametrize(
    ("process", "cause"),
    [
        (Process(is_database_away=True), "cannot be reached"),
        (Process(outer_cause="2 of its commits wait for a synchronous standby"), "synchronous standby"),
    ],
)
def test_a_cause_that_a_restart_cannot_remove_is_logged_once(
    process: Process, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    process.batch_since = process.now
    with caplog.at_level(logging.ERROR):
        process.pass_time(10 * TIMEOUT)
    assert not process.has_ended()
    (record,) = caplog.records
    assert cause in record.getMessage()


def test_a_process_ends_when_the_outer_cause_is_gone_and_its_batch_is_still_stuck() -> None:
    process = Process(is_database_away=True)
    process.batch_since = process.now
    process.pass_time(10 * TIMEOUT)
    assert not process.has_ended()
    process.is_database_away = False
    process.pass_time(5)
    assert process.has_ended()


def test_each_restart_without_success_doubles_the_timeout() -> None:
    process = Process(Counter(2))
    process.batch_since = process.now
    process.pass_time(4 * TIMEOUT - 5)
    assert not process.has_ended()
    process.pass_time(5)
    assert process.has_ended()
    assert process.counter.value == 3


def test_the_counter_is_reset_after_a_time_without_a_stuck_batch() -> None:
    process = Process(Counter(1))
    process.pass_time(2 * TIMEOUT - 5)
    assert process.counter.value == 1
    process.pass_time(5)
    assert process.counter.value == 0


def test_a_process_ends_although_the_counter_is_away() -> None:
    process = Process(Counter(is_away=True))
    process.batch_since = process.now
    process.pass_time(TIMEOUT)
    assert process.has_ended()


def test_the_time_in_which_the_process_was_suspended_does_not_count() -> None:
    process = Process()
    process.now += 3_600
    process.watchdog.check()
    process.pass_time(5)
    assert not process.has_ended()


def test_a_process_that_shuts_down_is_not_ended() -> None:
    process = Process(loop_is_stuck=True)
    process.watchdog.stop()
    process.pass_time(2 * TIMEOUT)
    assert not process.has_ended()
