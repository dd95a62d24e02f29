"""Failed log-ins in Redis: a sorted set of times per key, so that the window slides."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from redis import Redis, RedisError

from adapters.redis.reachability import describe_error

logger = logging.getLogger(__name__)

ADDRESS_FACTOR = 10
"""Many accounts may share an address (an office, a proxy), so it gets more attempts than an account."""


class RedisLoginLimiter:
    """`ports.LoginLimiter`. Without Redis nobody is kept from logging in: availability wins, and it is logged."""

    def __init__(self, redis: Redis, *, attempts: int, window: timedelta) -> None:
        self._redis = redis
        self._attempts = attempts
        self._window = window

    def wait(self, keys: Collection[str], now: datetime) -> timedelta | None:
        waits = []
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    # The oldest failure that has to leave the window before another attempt is allowed.
                    pipe.zremrangebyscore(_redis_key(key), "-inf", (now - self._window).timestamp())
                    pipe.zrevrange(_redis_key(key), self._limit(key) - 1, self._limit(key) - 1, withscores=True)
                answers = pipe.execute()
        except RedisError as error:
            logger.warning("log-ins are not limited while Redis is away: %s", describe_error(error))
            return None
        for oldest in answers[1::2]:
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
            logger.warning("failed log-ins were not forgotten while Redis is away: %s", describe_error(error))

    def _limit(self, key: str) -> int:
        return self._attempts * (ADDRESS_FACTOR if key.startswith("address:") else 1)


def _redis_key(key: str) -> str:
    return f"scalecommerce:login-failures:{key}"
