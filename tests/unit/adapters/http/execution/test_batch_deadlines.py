"""Deadlines of batched commands, on an event loop whose time the tests set."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from adapters.http.execution.batcher import Batcher
from adapters.http.execution.time_limit import TimeLimit
from scalecommerce_core.domain.errors import ConnectionLost, DeadlineExceeded, Effect, Overloaded, TransactionAborted
from scalecommerce_core.ports import commit_in_time
from scalecommerce_core.services.retry import retry_on
from tests.unit.support.fake_time_loop import FakeTimeLoop, run_in_fake_time

LIMIT = TimeLimit(10.0)


class Database:
    """Stores commands in transactions, which can be stopped before or after their commit is sent."""

    def __init__(self) -> None:
        self.committed: list[list[int]] = []
        self.attempts = 0
        self.before_commit: Callable[[], object] = lambda: None
        self.after_commit: Callable[[], object] = lambda: None

    @retry_on(TransactionAborted, ConnectionLost)
    def store(self, commands: Sequence[int]) -> Sequence[Any]:
        self.attempts += 1
        with commit_in_time() as begin_commit:
            self.before_commit()
            begin_commit()
            self.after_commit()
            self.committed.append(list(commands))
        return list(commands)


class Stop:
    """A point at which the thread of the batcher stops until the test continues it."""

    def __init__(self) -> None:
        self.reached, self._gate = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self._gate.wait(20)

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 20)

    def release(self) -> None:
        self._gate.set()


def create_batcher(database: Database, **options: Any) -> Batcher[int, Any]:
    return Batcher(database.store, time_limit=LIMIT, **options)


async def submit(batcher: Batcher[int, Any], *commands: int) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.ensure_future(batcher.submit(command)) for command in commands]
    await asyncio.sleep(0)
    return tasks


def read_running_since(batcher: Batcher[int, Any]) -> float | None:
    return batcher.running_since


async def error_of(task: "asyncio.Task[Any]") -> DeadlineExceeded:
    with pytest.raises(DeadlineExceeded) as caught:
        await task
    return caught.value


def test_a_command_that_waits_behind_a_stuck_batch_is_not_begun_and_gets_an_error_at_its_deadline() -> None:
    async def scenario(loop: FakeTimeLoop) -> None:
        database = Database()
        database.after_commit = stop = Stop()
        batcher = create_batcher(database)
        (stuck,) = await submit(batcher, 1)
        await stop.wait()
        await loop.advance(4)
        (later,) = await submit(batcher, 2)
        await loop.advance(9.9)
        assert not later.done()
        await loop.advance(0.2)
        assert (await error_of(later)).effect is Effect.NONE
        assert (await error_of(stuck)).effect is Effect.UNKNOWN
        stop.release()
        await batcher.drain()
        assert database.committed == [[1]]

    run_in_fake_time(scenario)


def test_a_batch_is_rolled_back_if_its_deadline_passes_before_the_commit() -> None:
    async def scenario(loop: FakeTimeLoop) -> None:
        database = Database()
        database.before_commit = stop = Stop()
        batcher = create_batcher(database)
        (late,) = await submit(batcher, 1)
        await stop.wait()
        await loop.advance(10)
        error = await error_of(late)
        assert error.effect is Effect.NONE
        assert "Nothing was changed" in str(error)
        stop.release()
        await batcher.drain()
        assert (database.attempts, database.committed) == (1, [])

    run_in_fake_time(scenario)


def test_a_batch_that_is_undone_for_one_late_command_runs_again_without_it() -> None:
    async def scenario(loop: FakeTimeLoop) -> None:
        database = Database()
        database.before_commit = first_stop = Stop()
        batcher = create_batcher(database)
        (first,) = await submit(batcher, 0)
        await first_stop.wait()
        (early,) = await submit(batcher, 1)
        await loop.advance(5)
        (late,) = await submit(batcher, 2)
        await asyncio.sleep(0)
        database.before_commit = second_stop = Stop()
        first_stop.release()
        assert await first == 0
        await second_stop.wait()
        database.before_commit = lambda: None
        await loop.advance(5)
        assert (await error_of(early)).effect is Effect.NONE
        second_stop.release()
        assert await late == 2
        assert database.committed == [[0], [2]]
        await batcher.drain()

    run_in_fake_time(scenario)


def test_a_command_that_was_begun_and_undone_is_not_reported_as_not_begun() -> None:
    async def scenario(loop: FakeTimeLoop) -> None:
        database = Database()
        database.before_commit = first_stop = Stop()
        batcher = create_batcher(database)
        (first,) = await submit(batcher, 0)
        await first_stop.wait()
        (early,) = await submit(batcher, 1)
        await loop.advance(0.5)
        (undone,) = await submit(batcher, 2)
        database.before_commit = second_stop = Stop()
        first_stop.release()
        assert await first == 0
        await second_stop.wait()
        await loop.advance(9.6)
        await error_of(early)
        second_stop.release()
        error = await error_of(undone)
        assert (error.effect, "was undone" in str(error)) == (Effect.NONE, True)
        assert database.committed == [[0]]
        await batcher.drain()

    run_in_fake_time(scenario)


def test_a_broken_commit_is_retried_before_the_deadline() -> None:
    async def scenario(_loop: FakeTimeLoop) -> None:
        database = Database()

        def fail_once() -> None:
            database.after_commit = lambda: None
            raise ConnectionLost("broken")

        database.after_commit = fail_once
        batcher = create_batcher(database)
        assert await batcher.submit(1) == 1
        assert (database.attempts, database.committed) == (2, [[1]])
        await batcher.drain()

    run_in_fake_time(scenario)


def test_a_command_with_little_time_left_is_not_begun() -> None:
    async def scenario(loop: FakeTimeLoop) -> None:
        database = Database()
        database.before_commit = stop = Stop()
        batcher = create_batcher(database)
        (first,) = await submit(batcher, 1)
        await stop.wait()
        (second,) = await submit(batcher, 2)
        await loop.advance(9.5)
        stop.release()
        assert await first == 1
        assert "could not begin" in str(await error_of(second))
        assert database.committed == [[1]]
        await batcher.drain()

    run_in_fake_time(scenario)


def test_the_queue_behind_a_stuck_batch_is_bounded() -> None:
    async def scenario(_loop: FakeTimeLoop) -> None:
        database = Database()
        database.after_commit = stop = Stop()
        batcher = create_batcher(database, queue_size=2)
        tasks = await submit(batcher, 1)
        await stop.wait()
        tasks += await submit(batcher, 2, 3)
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.submit(4)
        stop.release()
        assert await asyncio.gather(*tasks) == [1, 2, 3]
        await batcher.drain()

    run_in_fake_time(scenario)


def test_draining_ends_although_the_thread_is_stuck() -> None:
    async def scenario(loop: FakeTimeLoop) -> None:
        database = Database()
        database.after_commit = stop = Stop()
        batcher = create_batcher(database)
        (stuck,) = await submit(batcher, 1)
        await stop.wait()
        draining = asyncio.ensure_future(batcher.drain())
        await asyncio.sleep(0)
        await loop.advance(10)
        await draining
        assert (await error_of(stuck)).effect is Effect.UNKNOWN
        stop.release()

    run_in_fake_time(scenario)


def test_a_running_batch_reports_when_it_began() -> None:
    async def scenario(loop: FakeTimeLoop) -> None:
        database = Database()
        database.before_commit = stop = Stop()
        batcher = create_batcher(database)
        assert read_running_since(batcher) is None
        began = loop.now
        (task,) = await submit(batcher, 1)
        await stop.wait()
        await loop.advance(3)
        assert read_running_since(batcher) == began
        stop.release()
        await task
        await asyncio.sleep(0)
        assert read_running_since(batcher) is None
        await batcher.drain()

    run_in_fake_time(scenario)
