"""The Celery worker as a process; SIGTERM lets the task in hand finish."""

import socket
from collections.abc import Callable

from celery.signals import worker_ready

from entrypoints import logs
from entrypoints.settings import Settings
from entrypoints.wiring import worker_application


def run_worker(settings: Settings, on_ready: Callable[[], None] = lambda: None) -> None:
    """Work until a signal ends it; `on_ready` is called when the first task can come."""

    def tell(**_sent: object) -> None:
        on_ready()

    worker_ready.connect(tell, weak=False)
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
