"""What beat schedules with: it stops sending while nobody takes what it has sent."""

import logging
from typing import Any, Final

from celery.beat import Scheduler, SchedulingError
from redis import Redis, RedisError

from adapters.tasks.broker import MOST_WAITING, QUEUE

logger = logging.getLogger(__name__)

SECONDS: Final = 2.0


class PatientScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Redis keeps a message whose `expires` has passed until some worker looks at it. Without a worker they would pile
    up by hundreds of thousands a day, in the memory of a server that others need, and be in its way when it is back.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._redis = Redis.from_url(self.app.conf.broker_url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
        self._said = False
        self._is_away = False

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        is_full = self._is_full()
        if is_full and not self._said:
            logger.warning("%d messages wait and no worker takes them: nothing more is sent", MOST_WAITING)
        self._said = is_full
        if not is_full:
            self._send(entry, producer)

    def _send(self, entry: Any, producer: Any) -> None:
        """In place of Celery's own, which logs a traceback for each message of an outage; one sentence is enough."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            if not self._is_away:
                logger.warning("the beat cannot send messages: %s", error.__cause__ or error)
            self._is_away = True
        else:
            if self._is_away:
                logger.info("the beat sends messages again")
            self._is_away = False

    def _is_full(self) -> bool:
        try:
            return int(self._redis.llen(QUEUE)) >= MOST_WAITING
        except RedisError:
            # Whoever sends will meet it, too, and knows what to do.
            return False
