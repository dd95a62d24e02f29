"""The beat as a process: it sends the scheduled messages, and needs nothing of the engine for that."""

import logging
from typing import NoReturn

from celery.signals import beat_init

from adapters.tasks.application import create_celery_app
from entrypoints import celery_logging, logs
from entrypoints.settings import Settings

logger = logging.getLogger(__name__)


def run_beat(settings: Settings) -> None:
    """Send the scheduled messages until a signal ends it; two at a time only send them twice."""
    logs.configure(settings, "beat")
    celery_logging.redirect_celery_logs()
    app = create_celery_app(settings.redis_url.reveal(), _reject_tasks)
    beat_init.connect(_log_start)
    # Intervals of seconds need no memory of when they last ran, so no schedule file is kept.
    app.Beat(scheduler="adapters.tasks.bounded_beat:BoundedBeat", loglevel=settings.log_level, quiet=True).run()


def _log_start(**_sent: object) -> None:
    logger.info("the beat sends messages")


def _reject_tasks() -> NoReturn:
    raise RuntimeError("the beat runs no tasks")
