"""Gathers the commands of concurrent requests into batches for use cases that take many commands at once.

There is no timer: a batch is whatever waits when the previous batch is done. Under light load a batch holds one
command, which does not wait; under heavy load batches grow.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from adapters.http.execution.time_limit import TimeLimit
from scalecommerce_core.domain.errors import DeadlineExceeded, Effect, Overloaded, Unavailable
from scalecommerce_core.ports import CommandDeadline, TracedRequest, Tracing, use_deadline

Command = TypeVar("Command")
Result = TypeVar("Result")
Result_contra = TypeVar("Result_contra", contravariant=True)


class Waiter(Protocol[Result_contra]):
    """The methods of a future that `Batcher` calls."""

    def done(self) -> bool: ...

    def set_result(self, result: Result_contra, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...

    def cancel(self) -> object: ...


class _Entry(Generic[Command, Result]):
    """A command, the waiter of its result, its deadline as a time of the event loop, and its traced request."""

    __slots__ = ("command", "deadline", "request", "waiter")

    def __init__(
        self, command: Command, waiter: Waiter[Result], deadline: float, request: TracedRequest | None = None
    ) -> None:
        self.command = command
        self.waiter = waiter
        self.deadline = deadline
        self.request = request


class _Running(Generic[Command, Result]):
    """A batch in the thread. Its deadline is the earliest one of its commands."""

    __slots__ = ("deadline", "entries", "since")

    def __init__(self, entries: Sequence[_Entry[Command, Result]], clock: Callable[[], float]) -> None:
        self.entries = entries
        self.since = clock()
        self.deadline = CommandDeadline(min(entry.deadline for entry in entries), clock)


class Batcher(Generic[Command, Result]):
    """Runs commands in batches, one batch at a time, in a thread of its own.

    `run` returns one result or error per command, in order. If it raises, it must have changed nothing:

    - after one of `whole_batch_errors`, every command of the batch gets that error, since smaller batches would fail
      the same way;
    - after any other exception the batch is split in halves and run again, until the failing command is alone.

    `limit` bounds the commands of a batch, `queue_size` the waiting commands.

    With `time_limit`, a command that is not complete by its deadline gets a `DeadlineExceeded` then, even if the thread
    is stuck. A batch whose earliest deadline passes before its commit is undone, and run again without the commands
    that are late.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Command]], Sequence[Result | Exception]],
        *,
        limit: int = 500,
        queue_size: int = 2000,
        whole_batch_errors: tuple[type[Exception], ...] = (Unavailable,),
        name: str = "batch",
        time_limit: TimeLimit | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.name = name
        self._tracing = tracing
        self._run = run
        self._limit = limit
        self._queue_size = queue_size
        self._whole_batch_errors = whole_batch_errors
        self._time_limit = time_limit
        self._reserve = time_limit.reserve if time_limit is not None else 0.0
        self._queue: deque[_Entry[Command, Result]] = deque()
        self._running: _Running[Command, Result] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._closed = False

    @property
    def waiting(self) -> int:
        """The number of commands that are not yet part of a batch."""
        return len(self._queue)

    @property
    def running_since(self) -> float | None:
        """When the running batch began, as a time of the event loop; None without one. For any thread."""
        running = self._running
        return None if running is None else running.since

    async def submit(self, command: Command) -> Result:
        """Return the result of the command or raise its error; raise `Overloaded` at once if the queue is full."""
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.enqueue(command, waiter)
        if self._time_limit is None:
            return await waiter
        with self._time_limit.follow_effect() as note_effect:
            result = await waiter
            note_effect()
        return result

    def enqueue(self, command: Command, waiter: Waiter[Result]) -> None:
        """Queue a command whose result goes to `waiter`; raise `Overloaded` if the queue is full."""
        if self._closed:
            raise Overloaded("The server is shutting down: send the request again.")
        if len(self._queue) >= self._queue_size:
            raise Overloaded("The server has more requests than it can take: send this one again in a moment.")
        deadline = math.inf if self._time_limit is None else self._time_limit.deadline()
        request = None if self._tracing is None else self._tracing.current_request()
        self._queue.append(_Entry(command, waiter, deadline, request))
        if self._time_limit is not None:
            self._expire_at(deadline)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._drain_queue())

    async def drain(self) -> None:
        """Reject further commands, run those in the queue, and end the thread.

        With a time limit, commands that are not complete by then are given up.
        """
        self._closed = True
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=None if self._time_limit is None else self._time_limit.seconds)
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown(wait=False)

    async def _drain_queue(self) -> None:
        try:
            while batch := self._next_batch():
                await self._execute(batch)
        finally:
            self._worker = None

    def _next_batch(self) -> list[_Entry[Command, Result]]:
        """Take a batch from the queue, without commands whose waiter is done (its request was cancelled)."""
        batch: list[_Entry[Command, Result]] = []
        latest = self._latest_begin()
        while self._queue and len(batch) < self._limit:
            entry = self._queue.popleft()
            if self._can_begin(entry, latest, DeadlineExceeded.before_begin):
                batch.append(entry)
        return batch

    def _latest_begin(self) -> float:
        """Commands whose deadline is earlier than this time of the event loop are not begun now."""
        return -math.inf if self._time_limit is None else asyncio.get_running_loop().time() + self._reserve

    def _can_begin(
        self, entry: _Entry[Command, Result], earliest_deadline: float, late: Callable[[], DeadlineExceeded]
    ) -> bool:
        if entry.waiter.done():
            return False
        if entry.deadline < earliest_deadline:
            entry.waiter.set_exception(late())
            return False
        return True

    async def _execute(self, entries: Sequence[_Entry[Command, Result]]) -> None:
        loop = asyncio.get_running_loop()
        while entries:
            self._running = running = _Running(entries, loop.time)
            try:
                outcomes = await loop.run_in_executor(self._thread, self._run_in_time, running)
            except BaseException:
                # The loop is closing, or the thread has ended: the waiters must not wait for ever.
                for entry in entries:
                    entry.waiter.cancel()
                raise
            finally:
                self._running = None
            undone = [
                entry
                for entry, outcome in zip(entries, outcomes, strict=True)
                if not entry.waiter.done() and not _settle(entry.waiter, outcome)
            ]
            earliest = self._latest_begin() if undone else 0.0
            entries = [entry for entry in undone if self._can_begin(entry, earliest, _undone)]

    def _expire_at(self, deadline: float) -> None:
        """Call `_expire` at the deadline, or at an earlier one."""
        if self._timer is None or deadline < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        """Answer the commands whose deadline has passed."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        kept: deque[_Entry[Command, Result]] = deque()
        for entry in self._queue:
            if entry.waiter.done():
                continue
            if entry.deadline <= now:
                entry.waiter.set_exception(DeadlineExceeded.before_begin())
            else:
                kept.append(entry)
        self._queue = kept
        running = [] if self._running is None else [e for e in self._running.entries if not e.waiter.done()]
        late = [entry for entry in running if entry.deadline <= now]
        if self._running is not None and late:
            effect = self._running.deadline.expire()
            for entry in late:
                entry.waiter.set_exception(DeadlineExceeded(effect))
        if next_ := [entry.deadline for entry in (*kept, *running) if entry.deadline > now]:
            self._expire_at(min(next_))

    def _run_in_time(self, running: _Running[Command, Result]) -> list[Result | Exception]:
        if self._tracing is None:
            return self._run_under_deadline(running)
        with self._tracing.batch(self.name, [(entry.command, entry.request) for entry in running.entries]):
            return self._run_under_deadline(running)

    def _run_under_deadline(self, running: _Running[Command, Result]) -> list[Result | Exception]:
        commands = [entry.command for entry in running.entries]
        if self._time_limit is None:
            return self._run_or_split(commands)
        with use_deadline(running.deadline):
            return self._run_or_split(commands)

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


def _undone() -> DeadlineExceeded:
    """The error of a command that was begun and undone, and has too little time for another attempt."""
    return DeadlineExceeded(Effect.NONE)


def _settle(waiter: Waiter[Result], outcome: Result | Exception) -> bool:
    """Pass the outcome on; return False for a command that was undone because of another one's deadline."""
    if isinstance(outcome, DeadlineExceeded) and outcome.effect is Effect.NONE:
        return False
    if isinstance(outcome, Exception):
        waiter.set_exception(outcome)
    else:
        waiter.set_result(outcome)
    return True
