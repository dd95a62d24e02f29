"""Celery's beat as a process: it sends the scheduled messages, without an engine."""

import logging
from functools import partial
from typing import NoReturn

from celery.signals import after_task_publish, beat_init

from adapters.metrics.series import Program
from adapters.tasks.application import create_celery_app
from adapters.tasks.bounded_beat import BoundedBeat
from entrypoints import celery_logging, logs
from entrypoints.metrics import open_process_metrics, start_exporter
from entrypoints.settings import Settings
from entrypoints.wiring import UNFLUSHED_VIEWS, broker_of

logger = logging.getLogger(__name__)


def run_beat(settings: Settings) -> None:
    """Send the scheduled messages until a signal arrives. A second beat is harmless: it sends each message again."""
    logs.configure(settings, "beat")
    celery_logging.redirect_celery_logs()
    app = create_celery_app(broker_of(settings), _reject_tasks)
    beat_init.connect(_log_start)
    start_exporter(settings, Program.BEAT)
    metrics = open_process_metrics()

    def record_message(sender: str = "", **_sent: object) -> None:
        if metrics is not None:
            metrics.on_message(sender)

    after_task_publish.connect(record_message, weak=False)
    # The intervals are seconds, so the times of the last runs are not stored in a schedule file.
    app.Beat(scheduler=partial(BoundedBeat, view_keys=UNFLUSHED_VIEWS), loglevel=settings.log_level, quiet=True).run()


def _log_start(**_sent: object) -> None:
    logger.info("the beat has started to send messages")


def _reject_tasks() -> NoReturn:
    raise RuntimeError("the beat runs no tasks")
