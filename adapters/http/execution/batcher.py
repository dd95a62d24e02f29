"""Gathers the commands of concurrent requests into batches for use cases that take many commands at once.

There is no timer: a batch is whatever waits when the previous batch is done. Under light load a batch holds one
command, which does not wait; under heavy load batches grow.
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
    """The methods of a future that `Batcher` calls."""

    def done(self) -> bool: ...

    def set_result(self, result: Result_contra, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...

    def cancel(self) -> object: ...


class Batcher(Generic[Command, Result]):
    """Runs commands in batches, one batch at a time, in a thread of its own.

    `run` returns one result or error per command, in order. If it raises, it must have changed nothing:

    - after one of `whole_batch_errors`, every command of the batch gets that error, since smaller batches would fail
      the same way;
    - after any other exception the batch is split in halves and run again, until the failing command is alone.

    `limit` bounds the commands of a batch, `queue_size` the waiting commands.
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
        """The number of commands that are not yet part of a batch."""
        return len(self._queue)

    async def submit(self, command: Command) -> Result:
        """Return the result of the command or raise its error; raise `Overloaded` at once if the queue is full."""
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.enqueue(command, waiter)
        return await waiter

    def enqueue(self, command: Command, waiter: Waiter[Result]) -> None:
        """Queue a command whose result goes to `waiter`; raise `Overloaded` if the queue is full."""
        if self._closed:
            raise Overloaded("The server is shutting down: send the request again.")
        if len(self._queue) >= self._queue_size:
            raise Overloaded("The server has more requests than it can take: send this one again in a moment.")
        self._queue.append((command, waiter))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._drain_queue())

    async def drain(self) -> None:
        """Reject further commands, run those in the queue, and end the thread."""
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
        """Take a batch from the queue, without commands whose waiter is done (its request was cancelled)."""
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
            # The loop is closing, or the thread has ended: the waiters must not wait for ever.
            for _, waiter in batch:
                waiter.cancel()
            raise
        for (_, waiter), outcome in zip(batch, outcomes, strict=True):
            if waiter.done():
                continue
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)

    def _run_or_split(self, commands: Sequence[Command]) -> list[Result | Exception]:
        try:
            outcomes = list(self._run(commands))
            if len(outcomes) != len(commands):
                raise RuntimeError(f"{len(commands)} commands got {len(outcomes)} outcomes.")  # noqa: TRY301 - handled below, as if `run` had raised it
        except self._whole_batch_errors as error:
            return [error] * len(commands)
        except StopIteration as error:
            # asyncio.Future.set_exception rejects StopIteration.
            return [RuntimeError(repr(error))] * len(commands)
        except Exception as error:  # noqa: BLE001 - passed to the waiters
            if len(commands) == 1:
                return [error]
            half = len(commands) // 2
            return self._run_or_split(commands[:half]) + self._run_or_split(commands[half:])
        return outcomes
