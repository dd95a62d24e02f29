"""Progress of the commands and calls of a process: which one has run for longest."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from attrs import frozen

from adapters.http.execution.batcher import Batcher
from adapters.http.execution.pool_calls import PoolCalls
from adapters.http.execution.time_limit import ignore_result
from scalecommerce_core.domain.errors import Unavailable

T = TypeVar("T")


@frozen
class LongestRunning:
    """The batch or call that has run for longest: what it is, as the beginning of a sentence, and its age in
    seconds.
    """

    description: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.description} for {self.seconds:.0f} s"


class CommandProgress:
    """Observes batchers and the calls of thread pools. For any thread."""

    def __init__(
        self,
        batchers: Sequence[Batcher[Any, Any]],
        pools: Sequence[PoolCalls] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` is that of the event loop, in seconds."""
        self._batchers = batchers
        self._pools = pools
        self._clock = clock

    def longest(self) -> LongestRunning | None:
        """The batch or overdue call that has run for longest; None if there is none."""
        now = self._clock()
        running = [
            (since, f"commands of the kind '{batcher.name}' have been running")
            for batcher in self._batchers
            if (since := batcher.running_since) is not None
        ]
        running += [
            (since, f"a call in a thread of the pool '{pool.name}' has been running")
            for pool in self._pools
            if (since := pool.overdue_since(now)) is not None
        ]
        if not running:
            return None
        since, description = min(running)
        return LongestRunning(description, now - since)


class CheckInTime(Generic[T]):
    """Calls a check in a thread of its own, which no other work can occupy, and waits for it for `seconds` at most.

    Callers during a call share its result. All methods belong to one event loop.
    """

    def __init__(self, check: Callable[[], T], seconds: float, name: str) -> None:
        self._check = check
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._running: asyncio.Future[T] | None = None

    async def run(self) -> T:
        """The result of the check; raise its error, and `Unavailable` if it takes too long."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().run_in_executor(self._thread, self._check)
            self._running.add_done_callback(ignore_result)
        running = self._running
        await asyncio.wait([running], timeout=self._seconds)
        if not running.done():
            raise Unavailable(f"The database has not answered within {self._seconds:g} s.")
        return running.result()

    def close(self) -> None:
        self._thread.shutdown(wait=False)
