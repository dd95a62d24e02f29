"""Copies of answers in Redis, for all API processes of one engine."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from adapters.redis.reachability import describe_error

T = TypeVar("T")

logger = logging.getLogger(__name__)

PREFIX: Final = "scalecommerce:copies"
TIMEOUT_SECONDS: Final = 0.1
"""Seconds for an answer: PostgreSQL is not far behind."""
RETRY_AFTER_SECONDS: Final = 5.0
"""Seconds without another try, once Redis did not answer."""


class RedisSharedCache:
    """Of `adapters.http.cache.shared_cache.SharedCopies`. Each is forgotten after `seconds`.

    Processes of one `release` share them: another may show other fields.
    """

    def __init__(self, redis: Redis, release: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._prefix = f"{PREFIX}:{release}:"
        self._milliseconds = max(1, round(seconds * 1000))
        self._clock = clock
        self._away_until = float("-inf")

    @classmethod
    def at(cls, url: str, release: str, seconds: float) -> "RedisSharedCache":
        retry = Retry(NoBackoff(), 0)
        redis = Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=retry)
        return cls(redis, release, seconds)

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        nothing: list[bytes | None] = [None] * len(keys)
        return self._call(lambda: self._fetch(keys), nothing)

    def _fetch(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        found = self._redis.mget([self._prefix + key for key in keys])
        return [copy if isinstance(copy, bytes) else None for copy in found]

    def put(self, copies: Mapping[str, bytes]) -> None:
        def put() -> None:
            with self._redis.pipeline(transaction=False) as together:
                for key, copy in copies.items():
                    together.set(self._prefix + key, copy, px=self._milliseconds)
                together.execute()

        self._call(put, None)

    def close(self) -> None:
        self._redis.close()

    def _call(self, operation: Callable[[], T], default: T) -> T:
        if self._clock() < self._away_until:
            return default
        try:
            return operation()
        except RedisError as error:
            self._away_until = self._clock() + RETRY_AFTER_SECONDS
            logger.warning("processes do not share copies while Redis is away: %s", describe_error(error))
            return default
