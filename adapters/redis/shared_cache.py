"""`adapters.http.cache.shared_cache.SharedCache` in Redis."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from adapters.redis.reachability import describe_error
from adapters.redis.servers import RedisServers

T = TypeVar("T")

logger = logging.getLogger(__name__)

PREFIX: Final = "scalecommerce:copies"
TIMEOUT_SECONDS: Final = 0.1
"""For connecting and for each reply. A slow cache is worth little: PostgreSQL answers in milliseconds."""
RETRY_AFTER_SECONDS: Final = 5.0
"""After an error the cache makes no request for this time."""


class RedisSharedCache:
    """Entries expire after `seconds`. Only processes of one `release` share them: others may encode other fields."""

    def __init__(self, redis: Redis, release: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._prefix = f"{PREFIX}:{release}:"
        self._milliseconds = max(1, round(seconds * 1000))
        self._clock = clock
        self._retry_at = float("-inf")

    @classmethod
    def at(cls, servers: RedisServers, release: str, seconds: float) -> "RedisSharedCache":
        """Create a cache with a client of its own, which uses the short timeout and no retries."""
        retry = Retry(NoBackoff(), 0)
        redis = servers.client(socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=retry)
        return cls(redis, release, seconds)

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        nothing: list[bytes | None] = [None] * len(keys)
        return self._call(lambda: self._fetch(keys), nothing)

    def _fetch(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        found = self._redis.mget([self._prefix + key for key in keys])
        return [value if isinstance(value, bytes) else None for value in found]

    def put(self, entries: Mapping[str, bytes]) -> None:
        def store() -> None:
            with self._redis.pipeline(transaction=False) as pipe:
                for key, value in entries.items():
                    pipe.set(self._prefix + key, value, px=self._milliseconds)
                pipe.execute()

        self._call(store, None)

    def close(self) -> None:
        self._redis.close()

    def _call(self, operation: Callable[[], T], default: T) -> T:
        if self._clock() < self._retry_at:
            return default
        try:
            return operation()
        except RedisError as error:
            self._retry_at = self._clock() + RETRY_AFTER_SECONDS
            logger.warning("processes do not share cache entries while Redis is away: %s", describe_error(error))
            return default
