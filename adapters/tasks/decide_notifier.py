"""Wake-ups for the background workers: coalesced, and never in a request's way."""

import logging
import threading
import time
from typing import Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from adapters.tasks.broker import MOST_WAITING, QUEUE
from adapters.tasks.schedule import DECIDE, PATIENCE
from scalecommerce_core.domain.errors import Unavailable

logger = logging.getLogger(__name__)

WAKEUP_KEY: Final = "scalecommerce:wakeup"
WAKEUP_MILLISECONDS: Final = 1_000
"""A wake-up that nobody answered by then was lost; the next order sends another."""
PACE_SECONDS: Final = 0.05
"""Between two wake-ups of one process; the first of them goes out at once."""


def ask_for_decisions(app: Celery) -> None:
    """Send what beat sends; raise `Unavailable`."""
    try:
        app.send_task(DECIDE, retry=False, expires=PATIENCE.total_seconds())
    except (RedisError, OperationalError, OSError) as error:
        raise Unavailable("Redis does not answer.") from error


class CeleryWorkNotifier:
    """`ports.WorkNotifier`: a thread sends at most one message while one is on its way, whichever process sent it."""

    def __init__(self, app: Celery, redis: Redis) -> None:
        self._app = app
        self._redis = redis
        self._placed = threading.Event()
        self._stopping = False
        self._lock = threading.Lock()
        self._sender: threading.Thread | None = None

    def orders_placed(self) -> None:
        if not self._placed.is_set():
            self._placed.set()
        if self._sender is None:
            with self._lock:
                if self._sender is None:
                    self._sender = threading.Thread(target=self._send_regularly, name="wakeups", daemon=True)
                    self._sender.start()

    def acknowledge(self) -> None:
        """Said by a worker before it looks for orders: whoever places one from now on wakes somebody up again."""
        try:
            self._redis.delete(WAKEUP_KEY)
        except RedisError as error:
            logger.warning("the wake-up could not be taken off Redis: %s", error)

    def close(self) -> None:
        self._stopping = True
        self._placed.set()
        if self._sender is not None:
            self._sender.join(timeout=5)

    def _send_regularly(self) -> None:
        while not self._stopping:
            self._placed.wait()
            self._placed.clear()
            try:
                if self._redis.set(WAKEUP_KEY, 1, nx=True, px=WAKEUP_MILLISECONDS):
                    if int(self._redis.llen(QUEUE)) >= MOST_WAITING:
                        continue
                    self._app.send_task(DECIDE, retry=False)
                    # Who was just woken up finds what comes in meanwhile, too.
                    time.sleep(PACE_SECONDS)
            except (RedisError, OperationalError, OSError) as error:
                logger.warning("no wake-up was sent, the sweep will find the orders: %s", error)
