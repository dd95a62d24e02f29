"""A lock that one process of each worker holds, for work that mostly waits."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

from redis import Redis, RedisError
from redis.exceptions import LockError

from adapters.tasks.repeated_warnings import RepeatedWarnings

logger = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(logger)

LOCK_TTL: Final = timedelta(seconds=30)
"""Redis releases the lock after this time, even if its holder was killed."""


@contextmanager
def worker_lock(redis: Redis, work: str) -> Iterator[bool]:
    """Yield whether this process acquired the lock for `work`, without waiting; False while Redis is away.

    The lock's name contains the host and the parent process, which all processes of one worker share.
    """
    name = f"scalecommerce:turn:{work}:{socket.gethostname()}:{os.getppid()}"
    lock = redis.lock(name, timeout=LOCK_TTL.total_seconds(), thread_local=False)
    try:
        acquired = lock.acquire(blocking=False)
    except RedisError as error:
        _warnings.warn(f"{work} is delayed, its lock in Redis is not available: {error}")
        acquired = False
    try:
        yield acquired
    finally:
        if acquired:
            with suppress(LockError, RedisError):
                lock.release()
