"""When a worker adds processes to its pool."""

import pytest
from celery.worker import state

from adapters.tasks import grow_only_autoscaler
from adapters.tasks.grow_only_autoscaler import MIN_PROCESSES, WAIT_SECONDS, GrowOnlyAutoscaler


class FakePool:
    def __init__(self) -> None:
        self.num_processes = MIN_PROCESSES
        self.maintained = 0

    def grow(self, count: int) -> None:
        self.num_processes += count

    def maintain_pool(self) -> None:
        self.maintained += 1


class Harness:
    """A pool that may have four processes, the tasks that it has received, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pool = FakePool()
        self.now = 100.0
        self.received: set[object] = set()
        monkeypatch.setattr(grow_only_autoscaler, "monotonic", lambda: self.now)
        monkeypatch.setattr(state, "reserved_requests", self.received)
        self._autoscaler = GrowOnlyAutoscaler(self.pool, 4, MIN_PROCESSES)

    def after(self, seconds: float, tasks: int) -> int:
        """The processes after a check at which `tasks` have been received and have not ended."""
        self.now += seconds
        self.received.clear()
        self.received.update(range(tasks))
        self._autoscaler.maybe_scale()
        return self.pool.num_processes


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    return Harness(monkeypatch)


def test_tasks_that_wait_for_long_add_processes(harness: Harness) -> None:
    assert harness.after(0, 3) == 2
    assert harness.after(WAIT_SECONDS / 2, 3) == 2
    assert harness.after(WAIT_SECONDS / 2, 3) == 3
    assert harness.pool.maintained == 1


def test_a_moment_without_waiting_tasks_begins_anew(harness: Harness) -> None:
    assert harness.after(0, 4) == 2
    assert harness.after(WAIT_SECONDS / 2, 2) == 2
    assert harness.after(WAIT_SECONDS / 2, 4) == 2
    assert harness.after(WAIT_SECONDS / 2, 4) == 2
    assert harness.after(WAIT_SECONDS / 2, 4) == 4


def test_the_maximum_is_not_exceeded(harness: Harness) -> None:
    harness.after(0, 9)
    assert harness.after(WAIT_SECONDS, 9) == 4
    harness.after(0, 9)
    assert harness.after(WAIT_SECONDS, 9) == 4


def test_processes_without_tasks_stay(harness: Harness) -> None:
    harness.after(0, 4)
    harness.after(WAIT_SECONDS, 4)
    assert harness.after(3600, 0) == 4
