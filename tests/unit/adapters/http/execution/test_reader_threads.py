"""The reader threads: limits, and turns of clients."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from adapters.http.execution.reader_threads import STARTED_PER_THREAD, ReaderThreads
from adapters.http.framework.request_client import NOBODY, current_client, enter_request, shared_work
from scalecommerce_core.domain.errors import Overloaded

STARTED = STARTED_PER_THREAD


class Readers:
    """Reader threads with one thread, which is blocked until `open`."""

    def __init__(self, **limits: int) -> None:
        self.pool = ReaderThreads(threads=1, **limits)
        self._gate = threading.Event()
        self.done: list[str] = []

    def read(self, client: str, name: str = "") -> "asyncio.Task[None]":
        """Start a task of a client that reads."""

        async def handle() -> None:
            enter_request({"method": "GET", "client": (client, 1)}, None)
            await self.pool.run(lambda: self._record(name or client))

        return asyncio.ensure_future(handle())

    def _record(self, name: str) -> None:
        assert self._gate.wait(5)
        self.done.append(name)

    def open(self) -> None:
        self._gate.set()


def scenario(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(run())


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_client_with_many_waiting_reads_delays_another_by_the_started_ones_only() -> None:
    async def run() -> None:
        readers = Readers()
        tasks = [readers.read("10.0.0.1") for _ in range(100)]
        await settle()
        tasks += [readers.read("10.0.0.2") for _ in range(2)]
        await settle()
        readers.open()
        await asyncio.gather(*tasks)
        # After the started reads, the two clients take turns; the queue of the first one was next.
        assert [place for place, client in enumerate(readers.done) if client == "10.0.0.2"] == [
            STARTED + 1,
            STARTED + 3,
        ]
        readers.pool.close()

    scenario(run)


def test_reads_of_one_client_keep_their_order_and_use_all_threads() -> None:
    async def run() -> None:
        readers = Readers()
        tasks = [readers.read("10.0.0.1", str(number)) for number in range(20)]
        await settle()
        readers.open()
        await asyncio.gather(*tasks)
        assert readers.done == [str(number) for number in range(20)]
        readers.pool.close()

    scenario(run)


def test_the_waiting_reads_of_a_client_are_limited() -> None:
    async def run() -> None:
        readers = Readers(max_per_client=3)
        tasks = [readers.read("2001:db8::1") for _ in range(STARTED + 3)]
        await settle()
        with pytest.raises(Overloaded, match="your account or network"):
            await readers.read("2001:db8::2")
        tasks.append(readers.read("2001:db8:0:1::1"))
        readers.open()
        await asyncio.gather(*tasks)
        readers.pool.close()

    scenario(run)


def test_a_full_queue_rejects_the_newest_read_of_the_client_with_the_most() -> None:
    async def run() -> None:
        readers = Readers(max_waiting=4)
        many = [readers.read("10.0.0.1", f"a{number}") for number in range(STARTED + 4)]
        await settle()
        few = [readers.read("10.0.0.2", f"b{number}") for number in range(2)]
        await settle()
        with pytest.raises(Overloaded, match="overloaded"):
            await readers.read("10.0.0.2")
        readers.open()
        await asyncio.gather(*few)
        results = await asyncio.gather(*many, return_exceptions=True)
        assert [isinstance(result, Overloaded) for result in results] == [False] * (STARTED + 2) + [True] * 2
        readers.pool.close()

    scenario(run)


def test_cancelled_reads_leave_the_queue_and_give_their_turn_back() -> None:
    async def run() -> None:
        readers = Readers(max_per_client=2)
        tasks = [readers.read("10.0.0.1") for _ in range(STARTED + 2)]
        await settle()
        tasks.pop().cancel()
        await settle()
        tasks.append(readers.read("10.0.0.1", "last"))
        await settle()
        readers.open()
        await asyncio.gather(*tasks)
        assert readers.done[-1] == "last"
        # All slots are free again.
        await asyncio.gather(*(readers.read("10.0.0.1") for _ in range(STARTED)))
        assert not readers.pool._queues
        assert (readers.pool._free, readers.pool._waiting) == (STARTED, 0)
        readers.pool.close()

    scenario(run)


def test_a_read_that_is_cancelled_when_its_turn_comes_passes_the_turn_on() -> None:
    async def run() -> None:
        readers = Readers()
        tasks = [readers.read("10.0.0.1") for _ in range(STARTED + 2)]
        await settle()
        first_waiting = tasks.pop(STARTED)
        readers.pool._start_next()
        first_waiting.cancel()
        await settle()
        readers.open()
        await asyncio.gather(*tasks)
        # The test has added one slot.
        assert (readers.pool._free, readers.pool._waiting) == (STARTED + 1, 0)
        readers.pool.close()

    scenario(run)


def test_a_load_that_another_client_joins_moves_to_the_shorter_queue() -> None:
    async def run() -> None:
        readers = Readers()
        clients = []

        async def load() -> None:
            enter_request({"method": "GET", "client": ("10.0.0.1", 1)}, None)
            clients.append(current_client())
            await readers.pool.run(lambda: readers._record("shared"))

        tasks = [readers.read("10.0.0.1") for _ in range(50)]
        await settle()
        tasks.append(asyncio.ensure_future(load()))
        await settle()
        enter_request({"method": "GET", "client": ("10.0.0.2", 1)}, None)
        readers.pool.promote(clients[0], current_client())
        assert clients[0].key == "10.0.0.2"
        # A client with a longer queue does not move it back.
        enter_request({"method": "GET", "client": ("10.0.0.1", 1)}, None)
        readers.pool.promote(clients[0], current_client())
        assert clients[0].key == "10.0.0.2"
        readers.open()
        await asyncio.gather(*tasks)
        assert readers.done.index("shared") == STARTED + 1
        readers.pool.close()

    scenario(run)


def test_the_client_is_the_account_or_the_network() -> None:
    async def run() -> None:
        assert current_client().key == NOBODY
        enter_request({"method": "GET", "client": ("2001:db8::1", 1)}, None)
        assert current_client().key == "2001:db8::/64"
        with shared_work():
            assert current_client().key == NOBODY
        enter_request({"method": "GET", "client": ("2001:db8::1", 1)}, 7)
        assert current_client().key == "account 7"
        enter_request({"method": "GET", "client": None}, None)
        assert current_client().key == NOBODY

    scenario(run)
