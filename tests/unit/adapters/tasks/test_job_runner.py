"""Jobs in threads that outlive the task which started them."""

import logging
import threading

import pytest

from adapters.tasks.job_runner import InlineRunner, ThreadRunner
from scalecommerce_core.domain.errors import Unavailable


def test_inline_jobs_run_at_once() -> None:
    done: list[int] = []
    jobs = InlineRunner()
    jobs.start(lambda: done.append(1))
    assert done == [1]
    assert not jobs.wait(60)


def test_a_blocked_job_does_not_delay_another() -> None:
    jobs, release, quick = ThreadRunner(2, "test"), threading.Event(), threading.Event()
    jobs.start(lambda: release.wait(60))
    jobs.start(quick.set)
    assert quick.wait(60)
    assert jobs.wait(0)
    release.set()
    while jobs.wait(60):
        pass
    jobs.close()


def test_closing_waits_for_running_jobs() -> None:
    jobs, release, done = ThreadRunner(1, "test"), threading.Event(), list[int]()

    def job() -> None:
        release.wait(60)
        done.append(1)

    jobs.start(job)
    threading.Timer(0, release.set).start()
    jobs.close()
    assert done == [1]


def test_failures_of_jobs_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    jobs = ThreadRunner(1, "test")

    def fail(error: Exception) -> None:
        raise error

    jobs.start(lambda: fail(Unavailable("The database is unreachable.")))
    jobs.start(lambda: fail(ValueError("broken")))
    jobs.close()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "background work is delayed: The database is unreachable."),
        (logging.ERROR, "a background job failed"),
    ]
    assert not jobs.wait(0)
