"""What limits do while Redis is away: each process counts on its own."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from redis import RedisError

from adapters.redis.reachability import describe_error

RETRY_SECONDS: Final = 1.0
"""Time after a failed call in which Redis is not called. A call to a Redis that does not answer occupies a thread for
seconds, and a log-in makes several."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class OutageFallback:
    """Calls Redis, or a replacement while Redis is away; logs `warning` once per outage. For several threads."""

    def __init__(self, warning: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._warning = warning
        self._clock = clock
        self._is_away = False
        self._retry_at = float("-inf")
        self._lock = threading.Lock()

    def call(self, act: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """Return the result of `act`, which calls Redis, or that of `otherwise`."""
        if self._clock() < self._retry_at:
            return otherwise()
        try:
            result = act()
        except RedisError as error:
            with self._lock:
                is_first, self._is_away = not self._is_away, True
                self._retry_at = self._clock() + RETRY_SECONDS
            if is_first:
                logger.warning("%s: %s", self._warning, describe_error(error))
            return otherwise()
        self._is_away = False
        return result
