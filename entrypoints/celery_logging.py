"""Sends Celery's messages and output to the log of its process."""

import logging
from typing import Any, Final

from billiard import util
from celery.apps import worker
from celery.signals import setup_logging

from entrypoints import logs

_LOGGER: Final = "celery.apps.worker"


def redirect_celery_logs() -> None:
    """Apply to this process and its forks; call `logs.configure` first."""
    # If this signal has a receiver, Celery does not change handlers and levels.
    setup_logging.connect(_configure_nothing)
    # Celery prints messages such as "Warm shutdown" from a signal handler; no setting changes that.
    worker.safe_say = _say
    # Otherwise a pool process that ends by an error prints its traceback to standard error.
    util.get_logger().propagate = True


def _configure_nothing(**_sent: Any) -> None: ...


def _say(message: str, _file: object = None) -> None:
    logs.write_unbuffered(logging.INFO, message.strip(), _LOGGER)
