"""A thread pool for reads whose waiting calls are started in turns of their clients (fair queueing by round robin).

Each client has a queue, and the queues take turns. A client with a hundred waiting searches therefore delays the first
search of another client by the calls that have been started, and by no more.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from adapters.http.execution.pool_calls import READ_SECONDS, PoolCalls
from adapters.http.framework.request_client import RequestClient, current_client
from scalecommerce_core.domain.errors import Overloaded

T = TypeVar("T")

READER_THREADS: Final = 4
"""Threads for lists and searches, so the number of such statements that a process runs at once. A search uses the
interpreter as much as the database; more threads would only contend for the GIL."""
STARTED_PER_THREAD: Final = 2
"""Calls per thread that are running or next: a thread begins its next call without waiting for the event loop."""
MAX_WAITING_READS: Final = 2000
"""Limit on waiting calls in a process: the client of a call beyond it would probably time out."""
MAX_WAITING_READS_PER_CLIENT: Final = 500

_Turn = tuple["asyncio.Future[None]", RequestClient]


class ReaderThreads:
    """Runs calls in threads. Use it on one event loop only."""

    def __init__(
        self,
        *,
        threads: int = READER_THREADS,
        max_waiting: int = MAX_WAITING_READS,
        max_per_client: int = MAX_WAITING_READS_PER_CLIENT,
    ) -> None:
        """`max_waiting` and `max_per_client` limit the waiting calls, of all clients and of each."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self.calls = PoolCalls("reader")
        self._free = threads * STARTED_PER_THREAD
        self._max_waiting = max_waiting
        self._max_per_client = max_per_client
        self._queues: OrderedDict[str, deque[_Turn]] = OrderedDict()
        self._waiting = 0

    async def run(self, read: Callable[[], T], seconds: float = READ_SECONDS) -> T:
        """Call `read` in a thread when it is the turn of the current client; it is overdue after `seconds`.

        Raise `Overloaded` if the client has too many calls waiting. If all clients together have, the client with the
        most waiting calls gets the error, for its newest call.
        """
        return await self._run(self.calls.follow(read, seconds))

    async def run_transactions(self, use_case: Callable[[], T], seconds: float = READ_SECONDS) -> T:
        """As `run`, for a use case of many transactions: each of them may take `seconds`."""
        return await self._run(self.calls.follow_transactions(use_case, seconds))

    async def _run(self, call: Callable[[], T]) -> T:
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_turn(current_client())
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._start_next()

    def promote(self, waiting: RequestClient, joined: RequestClient) -> None:
        """Move the waiting calls of a request to the queue of a client that waits for its result too, if that is
        shorter.
        """
        if not waiting.waiting or waiting.key == joined.key:
            return
        queue, shorter = self._queues[waiting.key], self._queues.get(joined.key, ())
        if len(shorter) >= len(queue):
            return
        moved = [turn for turn in queue if turn[1] is waiting]
        for turn in moved:
            self._remove(waiting.key, turn)
        waiting.key = joined.key
        for turn in moved:
            self._append(turn)

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def _wait_for_turn(self, client: RequestClient) -> None:
        self._make_room(client.key)
        turn: _Turn = asyncio.get_running_loop().create_future(), client
        self._append(turn)
        client.waiting += 1
        try:
            await turn[0]
        except asyncio.CancelledError:
            if turn[0].cancelled():
                # `_start_next` may have removed it already.
                if turn in self._queues.get(client.key, ()):
                    self._remove(client.key, turn)
            else:
                # The request was cancelled after its turn had come.
                self._start_next()
            raise
        finally:
            client.waiting -= 1

    def _make_room(self, key: str) -> None:
        own = len(self._queues.get(key, ()))
        if own >= self._max_per_client:
            raise Overloaded("Too many requests of your account or network are waiting: retry in a few seconds.")
        if self._waiting < self._max_waiting:
            return
        longest = max(self._queues, key=lambda each: len(self._queues[each]))
        if len(self._queues[longest]) <= own + 1:
            raise Overloaded
        turn = self._queues[longest][-1]
        self._remove(longest, turn)
        turn[0].set_exception(Overloaded())

    def _append(self, turn: _Turn) -> None:
        self._queues.setdefault(turn[1].key, deque()).append(turn)
        self._waiting += 1

    def _remove(self, key: str, turn: _Turn) -> None:
        queue = self._queues[key]
        queue.remove(turn)
        self._waiting -= 1
        if not queue:
            del self._queues[key]

    def _start_next(self) -> None:
        """Give the slot of a finished call to the next client."""
        while self._queues:
            key, queue = next(iter(self._queues.items()))
            turn = queue[0]
            self._remove(key, turn)
            if key in self._queues:
                self._queues.move_to_end(key)
            if not turn[0].done():
                turn[0].set_result(None)
                return
        self._free += 1
