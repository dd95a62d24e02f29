import asyncio
import threading

import pytest

from adapters.http.execution.batcher import Batcher
from adapters.http.execution.progress import CheckInTime, CommandProgress
from scalecommerce_core.domain.errors import Unavailable

HANG_LIMIT = 20.0


def test_the_batch_that_has_run_for_longest_is_found() -> None:
    async def scenario() -> None:
        gate, started = threading.Event(), threading.Event()

        def wait(commands: list[int]) -> list[int]:
            started.set()
            assert gate.wait(HANG_LIMIT)
            return commands

        idle: Batcher[int, int] = Batcher(list, name="idle")
        busy: Batcher[int, int] = Batcher(wait, name="busy")  # type: ignore[arg-type]  # batches are lists
        loop = asyncio.get_running_loop()
        progress = CommandProgress([idle, busy], clock=lambda: loop.time() + 12.0)
        assert progress.longest() is None
        task = asyncio.ensure_future(busy.submit(1))
        await asyncio.to_thread(started.wait, HANG_LIMIT)
        longest = progress.longest()
        assert longest is not None
        assert longest.seconds >= 12.0
        assert str(longest).startswith("commands of the kind 'busy' have been running for ")
        gate.set()
        await task
        await asyncio.gather(idle.drain(), busy.drain())

    asyncio.run(scenario())


def test_a_check_that_does_not_return_is_an_error_and_is_not_started_again() -> None:
    async def scenario() -> None:
        gate, calls = threading.Event(), []

        def check() -> int:
            calls.append(1)
            assert gate.wait(HANG_LIMIT)
            return 7

        checks = CheckInTime(check, 0.05, "check")
        for _ in range(3):
            with pytest.raises(Unavailable, match="has not answered"):
                await checks.run()
        gate.set()
        waiting = CheckInTime(lambda: 8, HANG_LIMIT, "check")
        assert await waiting.run() == 8
        assert calls == [1]
        checks.close()
        waiting.close()

    asyncio.run(scenario())


def test_the_error_of_a_check_reaches_its_callers() -> None:
    async def scenario() -> None:
        def fail() -> None:
            raise Unavailable("no tables")

        checks = CheckInTime(fail, HANG_LIMIT, "check")
        with pytest.raises(Unavailable, match="no tables"):
            await checks.run()
        checks.close()

    asyncio.run(scenario())
