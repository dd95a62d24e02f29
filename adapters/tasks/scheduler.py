"""What beat schedules with: it stops sending while nobody takes what it has sent."""

import logging
from typing import Any, Final

from celery.beat import Scheduler
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

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        is_full = self._is_full()
        if is_full and not self._said:
            logger.warning("%d messages wait and no worker takes them: nothing more is sent", MOST_WAITING)
        self._said = is_full
        if not is_full:
            super().apply_entry(entry, producer)

    def _is_full(self) -> bool:
        try:
            return int(self._redis.llen(QUEUE)) >= MOST_WAITING
        except RedisError:
            # Whoever sends will meet it, too, and knows what to do.
            return False
