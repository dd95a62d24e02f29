"""The reader threads of handlers."""

import asyncio
import threading

import pytest

from adapters.http import dependencies
from adapters.http.dependencies import ReaderThreads
from scalecommerce_core.domain.errors import Overloaded


def test_reads_above_the_limit_are_rejected_and_cancelled_ones_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "READER_THREADS", 1)
    monkeypatch.setattr(dependencies, "MAX_PENDING_READS", 3)

    async def scenario() -> None:
        readers, gate = ReaderThreads(), threading.Event()
        done: list[int] = []

        def held() -> None:
            assert gate.wait(5)
            done.append(1)

        tasks = [asyncio.ensure_future(readers.run(held)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await readers.run(lambda: done.append(2))
        tasks.pop().cancel()
        await asyncio.sleep(0)
        tasks.append(asyncio.ensure_future(readers.run(lambda: done.append(3))))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        assert done == [1, 1, 3]
        await readers.run(lambda: done.append(4))
        assert done[-1] == 4
        readers.close()

    asyncio.run(scenario())
