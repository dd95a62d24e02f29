"""Celery in the log of its process: what it would print goes there, and it configures no logging of its own."""

import logging
from typing import Any, Final

from billiard import util
from celery.apps import worker
from celery.signals import setup_logging

from entrypoints import logs

_LOGGER: Final = "celery.apps.worker"


def redirect_celery_logs() -> None:
    """For this process and those that it forks; `logs.configure` has to come before."""
    # With a receiver of this signal, Celery leaves handlers and levels alone.
    setup_logging.connect(_configure_nothing)
    # "Warm shutdown" and the like go to standard output, out of a signal handler. There is no setting for that.
    worker.safe_say = _say
    # A process of the pool that ends by an error would print the traceback itself.
    util.get_logger().propagate = True


def _configure_nothing(**_sent: Any) -> None: ...


def _say(message: str, _file: object = None) -> None:
    logs.write_unbuffered(logging.INFO, message.strip(), _LOGGER)
