"""The Celery worker as a process; SIGTERM lets the task in hand finish."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

from celery.signals import worker_ready, worker_shutting_down
from celery.worker.state import total_count

from adapters.tasks.schedule import DECIDE
from entrypoints import celery_logging, logs
from entrypoints.processes.parent_death import bind_forks_to_parent
from entrypoints.settings import Settings
from entrypoints.watchdog import StallDetector, Watchdog, WorkerState
from entrypoints.wiring import WorkerMonitor, schema_check, worker_application
from scalecommerce_core.domain.errors import SchemaMismatch, Unavailable

logger = logging.getLogger(__name__)

SCHEMA_POLL_SECONDS: Final = 1.0
"""Seconds between two checks of a database that is not migrated yet."""
STALL_EXIT_STATUS: Final = 75
"""The exit status of a worker that decided nothing for too long (EX_TEMPFAIL: try again)."""


def run_worker(settings: Settings, on_ready: Callable[[], None] = lambda: None) -> NoReturn:
    """Work until a signal ends it, then end this process; `on_ready` is called when the first task can come.

    Its exit status is 0 only if a signal asked for the end.
    """
    host = socket.gethostname()
    session = f"scalecommerce worker {os.getpid()} {host}"[:63]  # PostgreSQL cuts a name there

    def tell(**_sent: object) -> None:
        watchdog.start()
        on_ready()

    ways_to_end: list[str] = []

    def note(how: str, **_sent: object) -> None:
        ways_to_end.append(how)

    worker_ready.connect(tell, weak=False)
    worker_shutting_down.connect(note, weak=False)
    logs.configure(settings, "worker")
    _wait_for_schema(settings)
    # A stopped or busy child hears of nothing else.
    bind_forks_to_parent(signal.SIGKILL)
    celery_logging.redirect_celery_logs()
    app = worker_application(settings, session)
    worker = app.Worker(
        hostname=f"scalecommerce@{host}",
        # Two more: one waits for the receivers of webhooks, one reprices. See `worker_lock`.
        concurrency=settings.worker_concurrency + 2,
        loglevel=settings.log_level,
        # Its banner would go to standard output.
        quiet=True,
        # Workers need not know each other: what they must not do together, PostgreSQL keeps apart.
        without_gossip=True,
        without_mingle=True,
    )
    watchdog = _create_watchdog(settings, worker, session, host)
    worker.start()
    # What it cannot recover from Celery logs, and returns: its supervisor must not take that for a wanted end.
    # Ctrl-C is one, though Celery has the status of a failure for it.
    sys.exit(0 if ways_to_end == ["Warm"] else worker.exitcode)


def _wait_for_schema(settings: Settings) -> None:
    """Wait until the database has the schema of this release; return at once if it cannot be reached.

    Tasks repeat their attempts to connect by themselves.
    """
    reported = ""
    with schema_check(settings, "scalecommerce worker starts") as check:
        while True:
            try:
                check()
            except SchemaMismatch as error:
                if str(error) != reported:
                    reported = str(error)
                    logger.warning("the worker waits for the database schema: %s", reported)
                time.sleep(SCHEMA_POLL_SECONDS)
            except Unavailable as error:
                logger.warning("the worker starts without the database: %s", error)
                return
            else:
                return


def _create_watchdog(settings: Settings, worker: Any, session: str, host: str) -> Watchdog:
    monitor = WorkerMonitor(settings, host)
    return Watchdog(
        StallDetector(settings.worker_stall_timeout_seconds, session),
        read_state=lambda: WorkerState(monitor.read_backlog(), total_count[DECIDE]),
        counter=monitor.restart_counter,
        request_decision=monitor.request_decision,
        end_worker=lambda: kill_worker(worker),
    )


def kill_worker(worker: Any) -> None:
    """With its children, whatever state they are in: one may have ended a moment ago, or a broken pool knows none."""
    try:
        for process in worker.pool.info["processes"]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    finally:
        os._exit(STALL_EXIT_STATUS)
