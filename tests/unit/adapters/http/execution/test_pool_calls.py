"""Stuck calls in the threads of readers and hashers are found."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from attrs import define

from adapters.http.execution.hashing_pool import HashingPool, Priority
from adapters.http.execution.pool_calls import READ_SECONDS, PoolCalls
from adapters.http.execution.progress import CommandProgress, LongestRunning
from adapters.http.execution.reader_threads import ReaderThreads
from scalecommerce_core.ports import commit_in_time

HANG_LIMIT = 20.0


@define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_call_is_overdue_after_its_time_and_until_it_ends() -> None:
    clock = Clock()
    calls = PoolCalls("reader", clock)
    seen: list[float | None] = []

    def call() -> str:
        for seconds in (0.0, 59.0, 1.0, 30.0):
            clock.now += seconds
            seen.append(calls.overdue_since(clock.now))
        return "done"

    assert calls.follow(call, 60.0)() == "done"
    assert seen == [None, None, 100.0, 100.0]
    assert calls.overdue_since(clock.now + 1_000.0) is None


def test_a_call_that_raises_an_exception_has_ended() -> None:
    calls = PoolCalls("reader", Clock())

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        calls.follow(fail, 0.0)()
    assert calls.overdue_since(1_000.0) is None


def test_a_call_of_many_transactions_is_overdue_only_if_one_of_them_takes_too_long() -> None:
    clock = Clock()
    calls = PoolCalls("reader", clock)
    seen: list[float | None] = []

    def call() -> None:
        for _ in range(5):
            clock.now += 40.0
            with commit_in_time() as begin_commit:
                seen.append(calls.overdue_since(clock.now))
                clock.now += 40.0
                begin_commit()
                seen.append(calls.overdue_since(clock.now))
        clock.now += 60.0
        seen.append(calls.overdue_since(clock.now))

    calls.follow_transactions(call, 60.0)()
    assert seen == [None] * 10 + [clock.now - 60.0]


Run = Callable[[Callable[[], object]], Awaitable[object]]


def longest_while_one_is_stuck(run: Run, calls: PoolCalls, seconds_later: float) -> LongestRunning | None:
    """What is reported `seconds_later` than a call began that does not end."""

    async def scenario() -> LongestRunning | None:
        started, gate = threading.Event(), threading.Event()

        def call() -> None:
            started.set()
            assert gate.wait(HANG_LIMIT)

        loop = asyncio.get_running_loop()
        progress = CommandProgress([], [calls], lambda: loop.time() + seconds_later)
        task = asyncio.ensure_future(run(call))
        assert await asyncio.to_thread(started.wait, HANG_LIMIT)
        found = progress.longest()
        gate.set()
        await task
        assert progress.longest() is None
        return found

    return asyncio.run(scenario())


def test_a_stuck_hasher_is_reported_at_once() -> None:
    hashers = HashingPool(1)

    async def run(call: Callable[[], object]) -> object:
        return await hashers.run(call, client="a", priority=Priority.LOG_IN)

    longest = longest_while_one_is_stuck(run, hashers.calls, 12.0)
    assert longest is not None
    assert longest.seconds >= 12.0
    assert str(longest).startswith("a call in a thread of the pool 'hasher' has been running for 1")


@pytest.mark.parametrize(("later", "is_stuck"), [(READ_SECONDS - HANG_LIMIT, False), (READ_SECONDS, True)])
@pytest.mark.parametrize("many", [False, True])
def test_a_stuck_reader_is_reported_after_the_time_of_a_slow_read(later: float, is_stuck: bool, many: bool) -> None:
    readers = ReaderThreads(threads=1)
    run: Run = readers.run_transactions if many else readers.run
    longest = longest_while_one_is_stuck(run, readers.calls, later)
    assert (longest is not None) == is_stuck
    assert longest is None or "'reader'" in str(longest)
