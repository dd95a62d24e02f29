"""Progress of the commands of a process: which kind has run for longest."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from attrs import frozen

from adapters.http.execution.batcher import Batcher
from adapters.http.execution.time_limit import ignore_result
from scalecommerce_core.domain.errors import Unavailable

T = TypeVar("T")


@frozen
class LongestBatch:
    """The batch that has run for longest: the name of its batcher, and its age in seconds."""

    name: str
    seconds: float

    def __str__(self) -> str:
        return f"commands of the kind '{self.name}' have been running for {self.seconds:.0f} s"


class CommandProgress:
    """Observes batchers. For any thread."""

    def __init__(self, batchers: Sequence[Batcher[Any, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is that of the event loop, in seconds."""
        self._batchers = batchers
        self._clock = clock

    def longest(self) -> LongestBatch | None:
        """The batch that has run for longest; None if no batch is running."""
        now = self._clock()
        running = [(since, batcher.name) for batcher in self._batchers if (since := batcher.running_since) is not None]
        if not running:
            return None
        since, name = min(running)
        return LongestBatch(name, now - since)


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
