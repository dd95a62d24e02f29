import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from adapters.http.execution.batcher import Batcher
from scalecommerce_core.domain.errors import NotFound, Overloaded, TransactionAborted


class Work:
    """A stand-in for a use case: logs its batches and blocks until `gate` is set."""

    def __init__(self, answer: Callable[[Sequence[int]], Sequence[Any]] = list) -> None:
        self.batches: list[list[int]] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._answer = answer

    def __call__(self, commands: Sequence[int]) -> Sequence[Any]:
        self.batches.append(list(commands))
        self.started.set()
        assert self.gate.wait(5)
        return self._answer(commands)

    def hold(self) -> None:
        self.gate.clear()
        self.started.clear()


async def submitted(batcher: Batcher[int, Any], *commands: int) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.ensure_future(batcher.submit(command)) for command in commands]
    await asyncio.sleep(0)
    return tasks


async def busy(work: Work, batcher: Batcher[int, Any]) -> "asyncio.Task[Any]":
    """Submit a command that blocks the thread until `work.gate` is set."""
    work.hold()
    (task,) = await submitted(batcher, 0)
    await asyncio.to_thread(work.started.wait, 5)
    return task


def test_a_lone_command_is_a_batch_of_one() -> None:
    async def scenario() -> None:
        batcher: Batcher[int, Any] = Batcher(work := Work(lambda batch: [10 * each for each in batch]))
        assert await batcher.submit(4) == 40
        assert work.batches == [[4]]
        await batcher.drain()

    asyncio.run(scenario())


def test_waiting_commands_form_the_next_batch() -> None:
    async def scenario() -> None:
        batcher: Batcher[int, Any] = Batcher(work := Work(), limit=3)
        first = await busy(work, batcher)
        rest = await submitted(batcher, 1, 2, 3, 4)
        assert batcher.waiting == 4
        work.gate.set()
        assert await asyncio.gather(first, *rest) == [0, 1, 2, 3, 4]
        assert work.batches == [[0], [1, 2, 3], [4]]
        await batcher.drain()

    asyncio.run(scenario())


def test_an_error_outcome_reaches_its_own_command_only() -> None:
    async def scenario() -> None:
        work = Work(lambda batch: [NotFound("thing", each) if each == 2 else each for each in batch])
        batcher: Batcher[int, Any] = Batcher(work)
        answers = await asyncio.gather(*await submitted(batcher, 1, 2, 3), return_exceptions=True)
        assert answers[0::2] == [1, 3]
        assert isinstance(answers[1], NotFound)
        await batcher.drain()

    asyncio.run(scenario())


def test_an_unexpected_error_splits_the_batch_until_the_failing_command_is_alone() -> None:
    def answer(batch: Sequence[int]) -> list[int]:
        if 6 in batch:
            raise ZeroDivisionError
        return list(batch)

    async def scenario() -> None:
        batcher: Batcher[int, Any] = Batcher(work := Work(answer))
        tasks = await submitted(batcher, *range(1, 9))
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in answers if isinstance(each, int)] == [1, 2, 3, 4, 5, 7, 8]
        assert isinstance(answers[5], ZeroDivisionError)
        assert len(work.batches) == 7
        await batcher.drain()

    asyncio.run(scenario())


def test_a_whole_batch_error_reaches_every_command() -> None:
    def answer(_batch: Sequence[int]) -> list[int]:
        raise TransactionAborted("The lock timeout is over.")

    async def scenario() -> None:
        batcher: Batcher[int, Any] = Batcher(work := Work(answer))
        answers = await asyncio.gather(*await submitted(batcher, 1, 2), return_exceptions=True)
        assert [type(each) for each in answers] == [TransactionAborted, TransactionAborted]
        assert work.batches == [[1, 2]]
        await batcher.drain()

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", [lambda _batch: [], lambda _batch: next(iter([]))])
def test_a_wrong_number_of_outcomes_fails_every_command(answer: Callable[[Sequence[int]], Sequence[Any]]) -> None:
    async def scenario() -> None:
        batcher: Batcher[int, Any] = Batcher(Work(answer))
        answers = await asyncio.gather(*await submitted(batcher, 1, 2), return_exceptions=True)
        assert all(isinstance(each, RuntimeError) for each in answers)
        await batcher.drain()

    asyncio.run(scenario())


def test_a_full_queue_rejects_a_command_at_once() -> None:
    async def scenario() -> None:
        batcher: Batcher[int, Any] = Batcher(work := Work(), queue_size=2)
        first = await busy(work, batcher)
        waiting = await submitted(batcher, 1, 2)
        with pytest.raises(Overloaded):
            await batcher.submit(3)
        work.gate.set()
        assert await asyncio.gather(first, *waiting) == [0, 1, 2]
        await batcher.drain()

    asyncio.run(scenario())


def test_a_cancelled_command_does_not_affect_others() -> None:
    async def scenario() -> None:
        batcher: Batcher[int, Any] = Batcher(work := Work())
        first = await busy(work, batcher)
        second, third = await submitted(batcher, 1, 2)
        first.cancel()
        second.cancel()
        await asyncio.sleep(0)
        work.gate.set()
        assert await third == 2
        assert work.batches == [[0], [2]]
        await batcher.drain()

    asyncio.run(scenario())


def test_draining_runs_the_queue_and_rejects_further_commands() -> None:
    async def scenario() -> None:
        batcher: Batcher[int, Any] = Batcher(work := Work())
        first = await busy(work, batcher)
        (second,) = await submitted(batcher, 1)
        draining = asyncio.ensure_future(batcher.drain())
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.submit(2)
        work.gate.set()
        await draining
        assert [first.result(), second.result()] == [0, 1]

    asyncio.run(scenario())
