"""Writing behind the caller's back: while PostgreSQL takes one batch of rows in, the core makes the next.

A bulk load spends half its time in Python and half in the server; done in turns, either waits for the other.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

MAX_PENDING_WRITES: Final = 4
"""So many writes may wait: more would only hold their rows in memory."""


class WriteBehindQueue:
    """Runs writes one after the other in a thread; an error comes out of a later call, at the latest of `settle`."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._pending: deque[Future[None]] = deque()

    def submit(self, write: Callable[[], None]) -> None:
        while len(self._pending) >= MAX_PENDING_WRITES:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(write))

    def flush(self) -> None:
        """Wait for all writes. Whoever uses the connection otherwise calls this first."""
        while self._pending:
            self._pending.popleft().result()


@contextmanager
def open_write_behind_queue() -> Iterator[WriteBehindQueue]:
    """All writes are done at a clean exit; on an error those that wait are dropped, the running one ends first."""
    thread = ThreadPoolExecutor(1, "write-behind")
    try:
        writes = WriteBehindQueue(thread)
        yield writes
        writes.flush()
    finally:
        thread.shutdown(cancel_futures=True)
