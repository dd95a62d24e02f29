"""Asynchronous writes for bulk loads: PostgreSQL stores one batch of rows while the core computes the next.

A bulk load spends half of its time in Python and half in the server, so running both at once saves up to half.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

MAX_PENDING_WRITES: Final = 4
"""`submit` blocks while this many writes are pending, which bounds the memory for their rows."""


class WriteBehindQueue:
    """Runs writes in order in one thread. A later call, at the latest `flush`, raises the error of a failed write."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._pending: deque[Future[None]] = deque()

    def submit(self, write: Callable[[], None]) -> None:
        while len(self._pending) >= MAX_PENDING_WRITES:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(write))

    def flush(self) -> None:
        """Wait for all pending writes; call it before other use of the connection."""
        while self._pending:
            self._pending.popleft().result()


@contextmanager
def open_write_behind_queue() -> Iterator[WriteBehindQueue]:
    """A queue that is flushed at a clean exit. On an error, the running write completes and others are dropped."""
    thread = ThreadPoolExecutor(1, "write-behind")
    try:
        writes = WriteBehindQueue(thread)
        yield writes
        writes.flush()
    finally:
        thread.shutdown(cancel_futures=True)
