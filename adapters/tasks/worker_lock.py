"""One process of each worker at a time, for work that mostly waits."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

from redis import Redis, RedisError
from redis.exceptions import LockError

logger = logging.getLogger(__name__)

LONGEST: Final = timedelta(seconds=30)
"""After that a turn is over, whatever became of who took it."""


@contextmanager
def turn_of_worker(redis: Redis, work: str) -> Iterator[bool]:
    """Whether it is this process's turn; the processes of a worker have the same parent."""
    name = f"scalecommerce:turn:{work}:{socket.gethostname()}:{os.getppid()}"
    lock = redis.lock(name, timeout=LONGEST.total_seconds(), thread_local=False)
    try:
        mine = lock.acquire(blocking=False)
    except RedisError as error:
        logger.warning("nobody can say whose turn it is to %s: %s", work, error)
        mine = False
    try:
        yield mine
    finally:
        if mine:
            with suppress(LockError, RedisError):
                lock.release()
