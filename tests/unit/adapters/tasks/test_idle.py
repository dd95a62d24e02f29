"""When the market counts as idle, and what happens when work waits again."""

from datetime import timedelta

import pytest

from adapters.tasks.idle import IDLE_AFTER, IDLE_INTERVAL, IDLE_TASKS, IdleMonitor
from adapters.tasks.schedule import DECIDE, FLUSH_VIEWS, MESSAGE_TTL, TASKS
from scalecommerce_core.domain.errors import Unavailable


class Harness:
    """A monitor with a database, a mark and a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.last_event = 7
        self.work_waits = False
        self.is_policy_due = False
        self.is_marked = False
        self.sent = 0
        self.repricings = 0
        self.away = False
        self.monitor = IdleMonitor(self._read_work, self, self._send, self._send_repricing, lambda: self.now)

    def check(self, seconds: float = 1.0) -> bool:
        """Check once after some seconds; return whether the mark is set."""
        self.now += seconds
        self.monitor.check()
        return self.is_marked

    def set(self) -> None:
        self.is_marked = True

    def remove(self) -> bool:
        was_marked, self.is_marked = self.is_marked, False
        return was_marked

    def _read_work(self) -> tuple[int, bool, bool]:
        if self.away:
            raise Unavailable("away")
        return self.last_event, self.work_waits, self.is_policy_due

    def _send(self) -> None:
        self.sent += 1

    def _send_repricing(self) -> None:
        self.repricings += 1


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_a_market_without_work_counts_as_idle_after_some_time(harness: Harness) -> None:
    assert not harness.check()
    assert not harness.check(IDLE_AFTER - 1)
    assert harness.check()
    assert harness.sent == 0


@pytest.mark.parametrize("reason", ["work", "an event"])
def test_work_ends_the_idleness_and_starts_the_tasks_at_once(harness: Harness, reason: str) -> None:
    harness.check()
    assert harness.check(IDLE_AFTER)
    if reason == "work":
        harness.work_waits = True
    else:
        harness.last_event += 1
    assert not harness.check()
    assert harness.sent == 1
    harness.work_waits = False
    assert not harness.check()
    assert not harness.check(IDLE_AFTER - 2)
    assert harness.check()
    assert harness.sent == 1


def test_another_worker_that_removed_the_mark_has_sent_the_messages(harness: Harness) -> None:
    harness.check()
    assert harness.check(IDLE_AFTER)
    harness.remove()
    harness.work_waits = True
    assert not harness.check()
    assert harness.sent == 0


def test_a_server_that_does_not_answer_ends_the_idleness(harness: Harness) -> None:
    harness.check()
    harness.away = True
    harness.check(IDLE_AFTER)
    harness.away = False
    assert not harness.check()
    assert not harness.is_marked


def test_a_due_policy_starts_repricing_alone(harness: Harness) -> None:
    harness.check()
    assert harness.check(IDLE_AFTER)
    harness.is_policy_due = True
    assert harness.check()
    assert (harness.repricings, harness.sent) == (1, 0)
    harness.is_policy_due = False
    assert harness.check()
    assert (harness.repricings, harness.sent) == (1, 0)


def test_a_policy_that_is_still_due_ends_the_idleness(harness: Harness) -> None:
    harness.check()
    assert harness.check(IDLE_AFTER)
    harness.is_policy_due = True
    assert harness.check()
    assert not harness.check()
    assert (harness.repricings, harness.sent) == (1, 1)


def test_a_policy_that_is_due_before_the_market_counts_as_idle_removes_a_mark(harness: Harness) -> None:
    harness.check()
    harness.set()
    harness.is_policy_due = True
    assert not harness.check()
    assert (harness.repricings, harness.sent) == (0, 1)


def test_frequent_tasks_are_slowed_and_rare_ones_keep_their_intervals() -> None:
    assert {DECIDE, FLUSH_VIEWS} < IDLE_TASKS
    assert all((task.name in IDLE_TASKS) == (task.every < timedelta(seconds=10)) for task in TASKS)
    assert timedelta(seconds=10) < IDLE_INTERVAL < MESSAGE_TTL
