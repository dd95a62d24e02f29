"""Counts how often in a row the watchdog has ended the workers of a host, for a day at most."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis, RedisError

from adapters.redis.reachability import describe_error
from scalecommerce_core.domain.errors import Unavailable

RETENTION_SECONDS: Final = 86_400


class RedisRestartCounter:
    """`entrypoints.watchdog.RestartCounter` for one host; raises `Unavailable` while Redis is away."""

    def __init__(self, redis: Redis, host: str) -> None:
        self._redis = redis
        self._key = f"scalecommerce:stalls:{host}"

    def get(self) -> int:
        with _raise_unavailable():
            return int(self._redis.get(self._key) or 0)

    def increment(self) -> None:
        with _raise_unavailable(), self._redis.pipeline() as pipe:
            pipe.incr(self._key)
            pipe.expire(self._key, RETENTION_SECONDS)
            pipe.execute()

    def reset(self) -> None:
        with _raise_unavailable():
            self._redis.delete(self._key)


@contextmanager
def _raise_unavailable() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise Unavailable(describe_error(error)) from error
