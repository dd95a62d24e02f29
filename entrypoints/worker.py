"""The Celery worker and the beat as processes; SIGTERM lets the task in hand finish."""

import socket

from entrypoints import logs
from entrypoints.settings import Settings
from entrypoints.wiring import worker_application


def run_worker(settings: Settings) -> None:
    """Work until a signal ends it."""
    logs.configure(settings, "worker")
    app = worker_application(settings)
    worker = app.Worker(
        hostname=f"scalecommerce@{socket.gethostname()}",
        concurrency=settings.worker_concurrency,
        loglevel=settings.log_level,
        # Workers need not know each other: what they must not do together, PostgreSQL keeps apart.
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()


def run_beat(settings: Settings) -> None:
    """Send the scheduled messages until a signal ends it; two at a time only send them twice."""
    logs.configure(settings, "beat")
    app = worker_application(settings)
    # Intervals of seconds need no memory of when they last ran, so no schedule file is kept.
    app.Beat(scheduler="celery.beat:Scheduler", loglevel=settings.log_level, quiet=True).run()
