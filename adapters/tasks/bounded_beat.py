"""Celery beat's scheduler, with a bound on the number of queued messages."""

import logging
from typing import Any

from celery.beat import Scheduler, SchedulingError
from kombu.exceptions import OperationalError
from redis import RedisError

from adapters.tasks.broker import MAX_QUEUED_MESSAGES, QUEUE

logger = logging.getLogger(__name__)


class BoundedBeat(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Sends nothing while `MAX_QUEUED_MESSAGES` messages are queued.

    Redis holds an expired message until a worker receives it. Without this bound, beat alone would queue hundreds of
    thousands of messages on a day without a worker.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # It connects when it is first used, and again after an outage.
        self._connection = self.app.connection_for_write()
        self._was_full = False
        self._is_broker_away = False

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        is_full = self._is_queue_full()
        if is_full and not self._was_full:
            logger.warning("no worker takes messages: beat sends none while %d are queued", MAX_QUEUED_MESSAGES)
        self._was_full = is_full
        if not is_full:
            self._send(entry, producer)

    def _send(self, entry: Any, producer: Any) -> None:
        """Log one line per outage; Celery's method logs a traceback per message."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            if not self._is_broker_away:
                logger.warning("the beat cannot send messages: %s", error.__cause__ or error)
            self._is_broker_away = True
        else:
            if self._is_broker_away:
                logger.info("the beat sends messages again")
            self._is_broker_away = False

    def _is_queue_full(self) -> bool:
        try:
            return self._count_messages() >= MAX_QUEUED_MESSAGES
        except (RedisError, OperationalError, OSError):
            # `_send` meets the same error and logs it.
            return False

    def _count_messages(self) -> int:
        return int(self._connection.default_channel.client.llen(QUEUE))
