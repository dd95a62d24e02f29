"""Commands of concurrent requests, gathered into batches for use cases that take many at once.

No timer: a batch is whatever is waiting when the one before it is done. Under light load that is one command, which
then waits for nothing; under heavy load batches grow by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from scalecommerce_core.domain.errors import Overloaded, Unavailable

Command = TypeVar("Command")
Result = TypeVar("Result")
Result_contra = TypeVar("Result_contra", contravariant=True)


class Waiter(Protocol[Result_contra]):
    """What is wanted of a future by whoever answers."""

    def done(self) -> bool: ...

    def set_result(self, result: Result_contra, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...

    def cancel(self) -> object: ...


class Batcher(Generic[Command, Result]):
    """`run` answers each command of a batch, in order, with a result or with an error for that command alone.

    It is called in one thread, one batch at a time. When it raises one of `indivisible`, all of the batch get that
    error: trying halves of it against a store that does not answer would only take longer. After any other exception
    the batch is split and tried again, until the guilty command is alone with it. `run` must therefore leave nothing
    behind when it raises.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Command]], Sequence[Result | Exception]],
        *,
        limit: int = 500,
        queue_size: int = 2000,
        whole_batch_errors: tuple[type[Exception], ...] = (Unavailable,),
        name: str = "batch",
    ) -> None:
        self._run = run
        self._limit = limit
        self._queue_size = queue_size
        self._whole_batch_errors = whole_batch_errors
        self._queue: deque[tuple[Command, Waiter[Result]]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._closed = False

    @property
    def waiting(self) -> int:
        """Commands that are not yet part of a batch."""
        return len(self._queue)

    async def submit(self, command: Command) -> Result:
        """The result, or the error, of this command; raise `Overloaded` at once when too many wait already."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.enqueue(command, answer)
        return await answer

    def enqueue(self, command: Command, waiter: Waiter[Result]) -> None:
        """As `submit`, for whoever does not wait here."""
        if self._closed:
            raise Overloaded("The server is shutting down: send the request again.")
        if len(self._queue) >= self._queue_size:
            raise Overloaded("The server has more requests than it can take: send this one again in a moment.")
        self._queue.append((command, waiter))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._drain_queue())

    async def drain(self) -> None:
        """Take no more commands, answer those that wait, and end the thread."""
        self._closed = True
        if self._worker is not None:
            await asyncio.wait([self._worker])
        self._thread.shutdown(wait=False)

    async def _drain_queue(self) -> None:
        try:
            while batch := self._next_batch():
                await self._execute(batch)
        finally:
            self._worker = None

    def _next_batch(self) -> list[tuple[Command, Waiter[Result]]]:
        """The next batch, without those that nobody waits for any more."""
        batch: list[tuple[Command, Waiter[Result]]] = []
        while self._queue and len(batch) < self._limit:
            entry = self._queue.popleft()
            if not entry[1].done():
                batch.append(entry)
        return batch

    async def _execute(self, batch: Sequence[tuple[Command, Waiter[Result]]]) -> None:
        commands = [command for command, _ in batch]
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._thread, self._run_or_split, commands)
        except BaseException:
            # The loop is closing, or the thread is gone: nobody may wait for ever.
            for _, answer in batch:
                answer.cancel()
            raise
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            if answer.done():
                continue
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

    def _run_or_split(self, commands: Sequence[Command]) -> list[Result | Exception]:
        try:
            outcomes = list(self._run(commands))
            if len(outcomes) != len(commands):
                raise RuntimeError(f"{len(commands)} commands got {len(outcomes)} answers.")  # noqa: TRY301 - handled below, as if `run` had raised it
        except self._whole_batch_errors as error:
            return [error] * len(commands)
        except StopIteration as error:
            # The one exception that a future refuses to carry.
            return [RuntimeError(repr(error))] * len(commands)
        except Exception as error:  # noqa: BLE001 - each waiter raises its own
            if len(commands) == 1:
                return [error]
            half = len(commands) // 2
            return self._run_or_split(commands[:half]) + self._run_or_split(commands[half:])
        return outcomes
