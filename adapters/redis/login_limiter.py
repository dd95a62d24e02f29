"""`ports.LoginLimiter` in Redis: one sorted set of failure times per key makes the sliding window."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from redis import Redis, RedisError

from adapters.redis.reachability import describe_error

logger = logging.getLogger(__name__)

ADDRESS_FACTOR = 10
"""A client address gets this many times the attempts of an account: an office or a proxy shares one address."""


class RedisLoginLimiter:
    """Allows `attempts` failures per account and `window`.

    While Redis is away it allows every attempt, since availability matters more, and logs a warning.
    """

    def __init__(self, redis: Redis, *, attempts: int, window: timedelta) -> None:
        self._redis = redis
        self._attempts = attempts
        self._window = window

    def retry_after(self, keys: Collection[str], now: datetime) -> timedelta | None:
        waits = []
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    # The next attempt is allowed when this failure, the n-th newest, leaves the window.
                    nth = self._max_failures(key) - 1
                    pipe.zremrangebyscore(_redis_key(key), "-inf", (now - self._window).timestamp())
                    pipe.zrevrange(_redis_key(key), nth, nth, withscores=True)
                replies = pipe.execute()
        except RedisError as error:
            logger.warning("log-ins are not limited while Redis is away: %s", describe_error(error))
            return None
        for oldest in replies[1::2]:
            waits += [datetime.fromtimestamp(score, UTC) + self._window - now for _, score in oldest]
        return max(waits, default=None)

    def record_failure(self, keys: Collection[str], now: datetime) -> None:
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.zadd(_redis_key(key), {uuid4().hex: now.timestamp()})
                    pipe.expire(_redis_key(key), self._window)
                pipe.execute()
        except RedisError as error:
            logger.warning("a failed log-in was not counted while Redis is away: %s", describe_error(error))

    def reset(self, keys: Collection[str]) -> None:
        try:
            self._redis.delete(*map(_redis_key, keys))
        except RedisError as error:
            logger.warning("failed log-ins were not reset while Redis is away: %s", describe_error(error))

    def _max_failures(self, key: str) -> int:
        return self._attempts * (ADDRESS_FACTOR if key.startswith("address:") else 1)


def _redis_key(key: str) -> str:
    return f"scalecommerce:login-failures:{key}"
