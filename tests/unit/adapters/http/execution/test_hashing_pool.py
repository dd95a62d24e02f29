import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest

from adapters.http.execution.hashing_pool import HASHER_NICENESS, HashingPool, Priority
from scalecommerce_core.domain.errors import NotAuthenticated, Overloaded, TooManyAttempts

LOG_IN, SIGN_UP = Priority.LOG_IN, Priority.SIGN_UP


class Bench:
    """A pool whose only thread is occupied until `release`; `order` lists the calls in the order in which they ran."""

    def __init__(self, max_waiting: int = 100, max_waiting_per_client: int = 50) -> None:
        self.pool = HashingPool(1, max_waiting=max_waiting, max_waiting_per_client=max_waiting_per_client)
        self.order: list[str] = []
        self._started, self._gate = threading.Event(), threading.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def occupy(self) -> None:
        await self.add("first", "nobody")
        await asyncio.to_thread(self._started.wait, 5)

    async def add(self, name: str, client: str, priority: Priority = LOG_IN) -> "asyncio.Task[None]":
        def work() -> None:
            self.order.append(name)
            self._started.set()
            assert self._gate.wait(5)

        task = asyncio.ensure_future(self.pool.run(work, client=client, priority=priority))
        self._tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def release(self) -> list[str]:
        """Let all calls end; return the order of those after the first."""
        self._gate.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return self.order[1:]


def on_bench(test: Callable[[Bench], Awaitable[None]], bench: Callable[[], Bench] = Bench) -> None:
    async def run() -> None:
        made = bench()
        await made.occupy()
        try:
            await test(made)
        finally:
            await made.release()
            made.pool.close()

    asyncio.run(run())


def test_log_ins_run_before_sign_ups_that_came_earlier() -> None:
    async def test(bench: Bench) -> None:
        await bench.add("sign-up", "a", SIGN_UP)
        await bench.add("log-in", "a")
        assert await bench.release() == ["log-in", "sign-up"]

    on_bench(test)


def test_clients_take_turns() -> None:
    async def test(bench: Bench) -> None:
        for number in range(3):
            await bench.add(f"many {number}", "many")
        await bench.add("one", "single")
        assert await bench.release() == ["many 0", "one", "many 1", "many 2"]

    on_bench(test)


def test_a_client_cannot_have_more_than_its_share_waiting() -> None:
    async def test(bench: Bench) -> None:
        for number in range(2):
            await bench.add(f"many {number}", "many")
        with pytest.raises(TooManyAttempts) as refused:
            await (await bench.add("too many", "many", SIGN_UP))
        assert refused.value.retry_after.total_seconds() == 1
        await bench.add("one", "single")
        assert bench.pool.waiting == 3
        assert "one" in await bench.release()
        assert bench.pool.waiting == 0
        # The share counts waiting calls only.
        await (await bench.add("later", "many"))

    on_bench(test, lambda: Bench(max_waiting_per_client=2))


def test_a_full_queue_refuses_sign_ups_and_lets_log_ins_replace_them() -> None:
    async def test(bench: Bench) -> None:
        sign_ups = [await bench.add(f"sign-up {number}", f"client {number}", SIGN_UP) for number in range(3)]
        with pytest.raises(Overloaded):
            await (await bench.add("late sign-up", "other", SIGN_UP))
        for number in range(3):
            await bench.add(f"log-in {number}", f"honest {number}")
        ended = await asyncio.gather(*sign_ups, return_exceptions=True)
        assert [type(each) for each in ended] == [Overloaded] * 3
        with pytest.raises(Overloaded):
            await (await bench.add("late log-in", "other"))
        assert await bench.release() == ["log-in 0", "log-in 1", "log-in 2"]

    on_bench(test, lambda: Bench(max_waiting=3))


def test_the_client_with_most_waiting_sign_ups_loses_one_to_a_log_in() -> None:
    async def test(bench: Bench) -> None:
        lone = await bench.add("lone", "lone", SIGN_UP)
        many = [await bench.add(f"many {number}", "many", SIGN_UP) for number in range(2)]
        await bench.add("log-in", "honest")
        await asyncio.sleep(0)
        assert [task.done() for task in (lone, *many)] == [False, False, True]

    on_bench(test, lambda: Bench(max_waiting=3))


def test_a_few_clients_cannot_keep_the_others_out_of_a_full_queue() -> None:
    """Attack: four addresses with as many log-ins as each may have waiting."""

    async def test(bench: Bench) -> None:
        flood = [await bench.add(f"{name} {number}", name) for name in ("a", "b") for number in range(3)]
        await bench.add("honest", "honest")
        await asyncio.sleep(0)
        assert [task.done() for task in flood] == [False, False, True, False, False, False]
        with pytest.raises(Overloaded):
            await (await bench.add("a again", "a"))
        assert bench.pool.waiting == 6
        assert "honest" in await bench.release()

    on_bench(test, lambda: Bench(max_waiting=6, max_waiting_per_client=3))


def test_a_call_whose_client_gave_up_leaves_the_queue() -> None:
    async def test(bench: Bench) -> None:
        gone = await bench.add("gone", "a")
        await bench.add("next", "a")
        gone.cancel()
        await asyncio.sleep(0)
        assert bench.pool.waiting == 1
        assert await bench.release() == ["next"]

    on_bench(test)


def test_a_running_call_whose_client_gave_up_occupies_its_thread_until_it_ends() -> None:
    async def test(bench: Bench) -> None:
        bench._tasks[0].cancel()
        await bench.add("next", "a")
        await asyncio.sleep(0)
        assert bench.order == ["first"]
        assert await bench.release() == ["next"]

    on_bench(test)


def test_an_error_of_the_call_is_raised_and_frees_the_thread() -> None:
    def fail() -> None:
        raise NotAuthenticated("no")

    async def run() -> None:
        pool = HashingPool(1)
        for _ in range(2):
            with pytest.raises(NotAuthenticated):
                await pool.run(fail, client="a", priority=LOG_IN)
        assert await pool.run(lambda: 5, client="a", priority=SIGN_UP) == 5
        pool.close()

    asyncio.run(run())


def test_hashing_threads_leave_processors_to_the_event_loop() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) if sys.platform == "linux" else 0

    async def run() -> int:
        pool = HashingPool(1)
        try:
            return await pool.run(niceness, client="a", priority=LOG_IN)
        finally:
            pool.close()

    expected = min(19, niceness() + HASHER_NICENESS) if sys.platform == "linux" else 0
    before = niceness()
    assert asyncio.run(run()) == expected
    assert niceness() == before
