"""How a worker ends."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from celery.utils.dispatch import Signal

from entrypoints import settings, worker
from entrypoints.watchdog import STALL_EXIT_STATUS
from entrypoints.worker import kill_worker, run_worker

ENVIRONMENT = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "JWT_SECRET": "*" * settings.MIN_SECRET_BYTES,
}


class Ended(BaseException):
    """Raised instead of ending the process."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    killed: list[int] = []

    def kill(process: int, number: int) -> None:
        assert number == signal.SIGKILL
        if process == 2:
            raise ProcessLookupError
        killed.append(process)

    def end(status: int) -> None:
        assert status == STALL_EXIT_STATUS
        raise Ended

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(os, "_exit", end)
    return killed


def test_a_pool_process_that_has_ended_does_not_stop_the_kill(killed: list[int]) -> None:
    worker: Any = SimpleNamespace(pool=SimpleNamespace(info={"processes": [1, 2, 3]}))
    with pytest.raises(Ended):
        kill_worker(worker)
    assert killed == [1, 3]


def test_a_worker_without_a_pool_ends(killed: list[int]) -> None:
    worker: Any = SimpleNamespace(pool=None)
    with pytest.raises(Ended):
        kill_worker(worker)
    assert killed == []


@pytest.mark.parametrize(
    ("asked", "celery_says", "status"),
    [([], None, None), ([], 1, 1), (["Warm"], 0, 0), (["Warm"], 1, 0), (["Cold"], 1, 1), (["Warm", "Cold"], 1, 1)],
)
def test_the_exit_status_distinguishes_a_failure_from_a_signal(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], celery_says: int | None, status: int | None
) -> None:
    """Celery returns normally after an unrecoverable error, which a supervisor would treat as success. Its exit code is
    also 1 after Ctrl-C, which requests a warm shutdown.
    """
    shutting_down = Signal(name="worker_shutting_down")

    class Worker:
        exitcode: int | None = None

        def __init__(self, **_options: object) -> None:
            pass

        def start(self) -> None:
            for how in asked:
                shutting_down.send(sender="a worker", sig="SIGINT", how=how, exitcode=celery_says)
            self.exitcode = celery_says

    monkeypatch.setattr(worker, "worker_application", lambda *_: SimpleNamespace(Worker=Worker))
    monkeypatch.setattr(worker, "worker_ready", Signal(name="worker_ready"))
    monkeypatch.setattr(worker, "worker_shutting_down", shutting_down)
    monkeypatch.setattr(worker, "bind_forks_to_parent", lambda _number: None)
    monkeypatch.setattr("entrypoints.logs.configure", lambda *_: None)
    monkeypatch.setattr("entrypoints.celery_logging.redirect_celery_logs", lambda: None)
    with pytest.raises(SystemExit) as end:
        run_worker(settings.load(ENVIRONMENT))
    assert end.value.code == status
