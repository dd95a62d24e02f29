"""Threads for use cases that hash passwords, with a bounded queue that is fair to clients."""

import asyncio
import os
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from enum import IntEnum
from typing import Any, Final, TypeVar

from attrs import field, frozen

from adapters.http.execution.pool_calls import PoolCalls
from scalecommerce_core.domain.errors import Overloaded, TooManyAttempts

T = TypeVar("T")

HASHER_THREADS: Final = 2
"""Threads for password hashing, which is slow by design and must not delay reads."""
HASHER_NICENESS: Final = 5
"""Niceness of these threads: on busy processors they get a third of the time that the event loop gets."""
MAX_WAITING: Final = 256
"""Calls that may wait in one process: about 2.5 s of work at 20 ms for a hash."""
MAX_WAITING_PER_CLIENT: Final = 64
"""Calls of one client that may wait, so that one client cannot fill the queue."""


class Priority(IntEnum):
    """The order in which waiting calls run; lower values first."""

    LOG_IN = 0
    SIGN_UP = 1


@frozen(eq=False)
class _Waiting:
    client: str
    start: asyncio.Future[None] = field(repr=False)


class HashingPool:
    """Runs calls in `HASHER_THREADS` threads. All methods must be called in one event loop.

    Waiting calls run by priority. Within a priority the clients take turns, so that a client with many waiting calls
    does not delay a client with one. A log-in that finds the queue full replaces a sign-up; a call also replaces one of
    its own priority whose client has at least two more waiting. The client with the most loses its newest call.
    """

    def __init__(
        self,
        threads: int = HASHER_THREADS,
        *,
        max_waiting: int = MAX_WAITING,
        max_waiting_per_client: int = MAX_WAITING_PER_CLIENT,
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hasher", initializer=_lower_priority)
        self.calls = PoolCalls("hasher")
        self._idle = threads
        self._max_waiting = max_waiting
        self._max_waiting_per_client = max_waiting_per_client
        self._waiting: dict[Priority, OrderedDict[str, deque[_Waiting]]] = {each: OrderedDict() for each in Priority}
        self._by_client: dict[str, int] = {}
        self._size = 0

    @property
    def waiting(self) -> int:
        """The number of calls that have not begun."""
        return self._size

    async def run(self, use_case: Callable[[], T], *, client: str, priority: Priority) -> T:
        """Return the result of `use_case`.

        Raise `Overloaded` if the queue is full, and `TooManyAttempts` if too many calls of `client` are waiting.
        """
        await self._acquire(client, priority)
        try:
            # A deadline belongs to each call, so the age of a running one is always of interest.
            call = self.calls.follow(use_case, 0.0)
            work: asyncio.Future[Any] = asyncio.get_running_loop().run_in_executor(self._threads, call)
        except BaseException:
            self._release()
            raise
        # The thread is occupied until the call ends, also if the caller has given up.
        work.add_done_callback(self._on_end)
        result: T = await asyncio.shield(work)
        return result

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def _acquire(self, client: str, priority: Priority) -> None:
        if self._idle:
            self._idle -= 1
            return
        if self._by_client.get(client, 0) >= self._max_waiting_per_client:
            raise TooManyAttempts.of("log-ins or sign-ups of this client at once", timedelta(seconds=1))
        if self._size >= self._max_waiting and not self._evict_for(client, priority):
            raise Overloaded
        entry = _Waiting(client, asyncio.get_running_loop().create_future())
        self._waiting[priority].setdefault(client, deque()).append(entry)
        self._count(client, 1)
        try:
            await entry.start
        except asyncio.CancelledError:
            if entry.start.done() and not entry.start.cancelled():
                self._release()
            else:
                self._remove(entry, priority)
            raise

    def _on_end(self, work: "asyncio.Future[Any]") -> None:
        if not work.cancelled():
            # Read here, since asyncio logs exceptions that nobody reads.
            work.exception()
        self._release()

    def _release(self) -> None:
        """Begin the next waiting call on the thread that became idle."""
        entry = self._next()
        if entry is None:
            self._idle += 1
        else:
            entry.start.set_result(None)

    def _next(self) -> _Waiting | None:
        for clients in self._waiting.values():
            while clients:
                client, entries = clients.popitem(last=False)
                entry = entries.popleft()
                if entries:
                    clients[client] = entries
                self._count(client, -1)
                if not entry.start.done():
                    return entry
        return None

    def _evict_for(self, client: str, priority: Priority) -> bool:
        """Refuse a waiting call in favour of one of `client`; False: there is none that may be refused."""
        for other in reversed(Priority):
            if other < priority or not (clients := self._waiting[other]):
                continue
            most = max(clients.values(), key=len)
            # A few clients must not fill the queue and keep all others out of it.
            if other > priority or len(most) > len(clients.get(client, ())) + 1:
                entry = most[-1]
                self._remove(entry, other)
                if not entry.start.done():
                    entry.start.set_exception(Overloaded())
                return True
        return False

    def _remove(self, entry: _Waiting, priority: Priority) -> None:
        clients = self._waiting[priority]
        if (entries := clients.get(entry.client)) is not None and entry in entries:
            entries.remove(entry)
            if not entries:
                del clients[entry.client]
            self._count(entry.client, -1)

    def _count(self, client: str, change: int) -> None:
        self._size += change
        if count := self._by_client.get(client, 0) + change:
            self._by_client[client] = count
        else:
            del self._by_client[client]


def _lower_priority() -> None:
    # Only Linux has a niceness of threads. A new thread has that of the process, which an operator may have raised.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + HASHER_NICENESS))
