"""Messages that make a worker decide new orders: coalesced, and sent outside of the request."""

import logging
import threading
import time
from typing import Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from adapters.tasks.broker import MAX_QUEUED_MESSAGES, QUEUE
from adapters.tasks.repeated_warnings import RepeatedWarnings
from adapters.tasks.schedule import DECIDE, MESSAGE_TTL
from scalecommerce_core.domain.errors import Unavailable

logger = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(logger)

NOTIFICATION_KEY: Final = "scalecommerce:wakeup"
"""A key that is set in Redis when a message is sent and deleted when a worker acknowledges it. While it is set, no
process sends another message."""
NOTIFICATION_TTL_MS: Final = 1_000
"""A message without an acknowledgement counts as lost after this time (milliseconds); the next order sends another."""
MIN_INTERVAL_SECONDS: Final = 0.05
"""Between two messages of one process; the first one is sent at once."""


def request_decisions(app: Celery) -> None:
    """Send the message that beat sends; raise `Unavailable` while Redis is away."""
    try:
        app.send_task(DECIDE, retry=False, expires=MESSAGE_TTL.total_seconds())
    except (RedisError, OperationalError, OSError) as error:
        raise Unavailable("Redis does not answer.") from error


class CeleryWorkNotifier:
    """`ports.WorkNotifier` with a thread that sends the messages.

    All processes together have at most one unacknowledged message in the queue. While Redis is away, or after
    `MAX_QUEUED_MESSAGES`, the message is dropped; beat's sweep decides the orders.
    """

    def __init__(self, app: Celery, redis: Redis) -> None:
        self._app = app
        self._redis = redis
        self._has_orders = threading.Event()
        self._stopping = False
        self._lock = threading.Lock()
        self._sender: threading.Thread | None = None

    def orders_placed(self) -> None:
        if not self._has_orders.is_set():
            self._has_orders.set()
        if self._sender is None:
            with self._lock:
                if self._sender is None:
                    self._sender = threading.Thread(target=self._send_messages, name="notifier", daemon=True)
                    self._sender.start()

    def acknowledge(self) -> None:
        """Let the next order send a message. A worker calls this before it queries for orders."""
        try:
            self._redis.delete(NOTIFICATION_KEY)
        except RedisError as error:
            _warnings.warn(f"the notification of new orders could not be acknowledged in Redis: {error}")

    def close(self) -> None:
        self._stopping = True
        self._has_orders.set()
        if self._sender is not None:
            self._sender.join(timeout=5)

    def _send_messages(self) -> None:
        while not self._stopping:
            self._has_orders.wait()
            self._has_orders.clear()
            try:
                if self._redis.set(NOTIFICATION_KEY, 1, nx=True, px=NOTIFICATION_TTL_MS):
                    if int(self._redis.llen(QUEUE)) >= MAX_QUEUED_MESSAGES:
                        continue
                    self._app.send_task(DECIDE, retry=False)
                    # The worker that takes this message finds the orders of the interval too.
                    time.sleep(MIN_INTERVAL_SECONDS)
            except (RedisError, OperationalError, OSError) as error:
                _warnings.warn(f"workers were not notified of new orders, the sweep will find them: {error}")
