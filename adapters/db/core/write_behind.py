"""Writing behind the caller's back: while PostgreSQL takes one batch of rows in, the core makes the next.

A bulk load spends half its time in Python and half in the server; done in turns, either waits for the other.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

DEPTH: Final = 4
"""So many writes may wait: more would only hold their rows in memory."""


class WriteBehind:
    """Runs writes one after the other in a thread; an error comes out of a later call, at the latest of `settle`."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._waiting: deque[Future[None]] = deque()

    def later(self, write: Callable[[], None]) -> None:
        while len(self._waiting) >= DEPTH:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(write))

    def settle(self) -> None:
        """Wait for all writes. Whoever uses the connection otherwise calls this first."""
        while self._waiting:
            self._waiting.popleft().result()


@contextmanager
def write_behind() -> Iterator[WriteBehind]:
    """All writes are done at a clean exit; on an error those that wait are dropped, the running one ends first."""
    thread = ThreadPoolExecutor(1, "write-behind")
    try:
        writes = WriteBehind(thread)
        yield writes
        writes.settle()
    finally:
        thread.shutdown(cancel_futures=True)
