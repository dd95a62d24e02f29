"""The Celery worker as a process; on SIGTERM it finishes its current tasks and ends."""

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

from adapters.metrics.series import Program
from adapters.tasks.broker import worker_name
from adapters.tasks.grow_only_autoscaler import MIN_PROCESSES
from adapters.tasks.schedule import DECIDE
from entrypoints import celery_logging, logs
from entrypoints.gc_tuning import share_with_forks
from entrypoints.installation import InstallationCheck
from entrypoints.metrics import open_process_metrics, start_exporter
from entrypoints.processes.parent_death import bind_forks_to_parent
from entrypoints.settings import Settings
from entrypoints.tracing import check_tracing
from entrypoints.watchdog import STALL_EXIT_STATUS, StallDetector, Watchdog, WorkerState
from entrypoints.wiring import WorkerMonitor, database_figures, startup_checks, worker_application
from scalecommerce_core.domain.errors import SchemaMismatch, Unavailable

logger = logging.getLogger(__name__)

SCHEMA_POLL_SECONDS: Final = 1.0
"""Seconds between two checks of the database schema and of Redis before the worker starts."""


def run_worker(settings: Settings, on_ready: Callable[[], None] = lambda: None) -> NoReturn:
    """Run tasks until a signal arrives, then exit. `on_ready` is called when the worker accepts tasks.

    The exit status is 0 only after a warm shutdown by a signal.
    """
    host = socket.gethostname()
    session = f"scalecommerce worker {os.getpid()} {host}"[:63]  # PostgreSQL truncates longer names

    def start_watchdog(**_sent: object) -> None:
        watchdog.start()
        installation.start()
        on_ready()

    shutdowns: list[str] = []

    def record_shutdown(how: str, **_sent: object) -> None:
        shutdowns.append(how)

    worker_ready.connect(start_watchdog, weak=False)
    worker_shutting_down.connect(record_shutdown, weak=False)
    logs.configure(settings, "worker")
    check_tracing()
    installation = _wait_for_servers(settings)
    # SIGKILL, because a stopped or busy child does not handle another signal.
    bind_forks_to_parent(signal.SIGKILL)
    celery_logging.redirect_celery_logs()
    start_exporter(settings, Program.WORKER, database_figures)
    app = worker_application(settings, session, open_process_metrics, installation.is_leased)
    worker = app.Worker(
        hostname=worker_name(host),
        # Two more processes: one delivers webhooks, one reprices. See `worker_lock`.
        autoscale=(settings.worker_concurrency + 2, MIN_PROCESSES),
        autoscaler_cls="adapters.tasks.grow_only_autoscaler:GrowOnlyAutoscaler",
        loglevel=settings.log_level,
        # Without this, Celery prints a banner to standard output.
        quiet=True,
        # Workers need no messages between them: locks in PostgreSQL and Redis coordinate their tasks.
        without_gossip=True,
        without_mingle=True,
    )
    watchdog = _create_watchdog(settings, worker, session, host)
    share_with_forks()
    worker.start()
    # After an unrecoverable error Celery logs it and returns; the exit status must show that this was no regular end.
    # Ctrl-C is a regular end, although Celery reports a failure for it.
    sys.exit(0 if shutdowns == ["Warm"] else worker.exitcode)


def _wait_for_servers(settings: Settings) -> InstallationCheck:
    """Wait until the database has the schema of this release and Redis serves no other installation.

    Servers that cannot be reached are not waited for: tasks repeat their attempts to connect by themselves. Return the
    check of Redis, which goes on.
    """
    reported = ""
    with startup_checks(settings, "scalecommerce worker starts") as (check_schema, installation):
        while True:
            try:
                check_schema()
            except SchemaMismatch as error:
                reason = f"the worker waits for the database schema: {error}"
            except Unavailable as error:
                logger.warning("the worker starts without the database: %s", error)
                return installation
            else:
                try:
                    installation.check()
                except Unavailable as error:
                    reason = f"the worker waits: {error}"
                else:
                    return installation
            if reason != reported:
                reported = reason
                logger.warning("%s", reason)
            time.sleep(SCHEMA_POLL_SECONDS)


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
    """Kill the pool's processes and exit with `STALL_EXIT_STATUS`, even if the pool is broken."""
    try:
        for process in worker.pool.info["processes"]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    finally:
        os._exit(STALL_EXIT_STATUS)
