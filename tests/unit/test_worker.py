"""How a stalled worker ends."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from entrypoints.worker import STALLED, end_at_once


class Ended(BaseException):
    """In place of the end of this process."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    killed: list[int] = []

    def kill(process: int, number: int) -> None:
        assert number == signal.SIGKILL
        if process == 2:
            raise ProcessLookupError
        killed.append(process)

    def end(status: int) -> None:
        assert status == STALLED
        raise Ended

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(os, "_exit", end)
    return killed


def test_a_child_that_has_just_ended_keeps_nobody_alive(killed: list[int]) -> None:
    worker: Any = SimpleNamespace(pool=SimpleNamespace(info={"processes": [1, 2, 3]}))
    with pytest.raises(Ended):
        end_at_once(worker)
    assert killed == [1, 3]


def test_a_worker_without_a_pool_ends_all_the_same(killed: list[int]) -> None:
    worker: Any = SimpleNamespace(pool=None)
    with pytest.raises(Ended):
        end_at_once(worker)
    assert killed == []
