"""A pool of connections that measures how long its users wait."""

import logging
from time import perf_counter
from typing import Any

from sqlalchemy import PoolProxiedConnection, QueuePool


class TimedPool(QueuePool):
    """`checkouts` counts connections that were taken; `wait_seconds` is the time of waiting for a free connection
    or opening a new one. Both begin at 0 when the pool is disposed of.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.checkouts = 0
        self.wait_seconds = 0.0

    @property
    def limit(self) -> int:
        """The most connections that it opens."""
        return self.size() + self._max_overflow

    def connect(self) -> PoolProxiedConnection:
        begun = perf_counter()
        try:
            return super().connect()
        finally:
            # Without a lock: a figure may be lost between two threads, which matters less than the time of a lock.
            self.checkouts += 1
            self.wait_seconds += perf_counter() - begun


# SQLAlchemy logs each event of a pool at INFO to a logger with the name of its class, and raises the level of its own
# classes' loggers only.
logging.getLogger(f"{TimedPool.__module__}.{TimedPool.__qualname__}").setLevel(logging.WARNING)
