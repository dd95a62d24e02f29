"""`ports.LoginLimiter` in Redis: one list of failure times per key makes the sliding window."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from redis import Redis

from adapters.redis.outages import OutageFallback
from scalecommerce_core.ports import RateLimit
from scalecommerce_core.services.login_limiter import MemoryLoginLimiter


class RedisLoginLimiter:
    """Keys are hashed: they contain e-mail and network addresses.

    While Redis is away, each process counts its own failures instead, and logs a warning once per outage.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._own = MemoryLoginLimiter()
        self._outages = OutageFallback("failed log-ins are counted in each process on its own while Redis is away")

    def retry_after(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        return self._outages.call(lambda: self._retry_after(uses, now), lambda: self._own.retry_after(uses, now))

    def record_failure(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> None:
        self._outages.call(lambda: self._record_failure(uses, now), lambda: self._own.record_failure(uses, now))

    def reset(self, uses: Collection[tuple[RateLimit, str]]) -> None:
        keys = [_redis_key(limit, key) for limit, key in uses]
        if keys:
            self._outages.call(lambda: self._redis.delete(*keys), lambda: self._own.reset(uses))

    def remember_client(self, client: str, until: datetime) -> None:
        self._outages.call(
            lambda: self._redis.set(_client_key(client), "", exat=round(until.timestamp())),
            lambda: self._own.remember_client(client, until),
        )

    def is_known_client(self, client: str, now: datetime) -> bool:
        return self._outages.call(
            lambda: bool(self._redis.exists(_client_key(client))), lambda: self._own.is_known_client(client, now)
        )

    def _retry_after(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        with self._redis.pipeline(transaction=False) as pipe:
            for limit, key in uses:
                # The next attempt is allowed when this failure, the n-th newest, leaves the window.
                pipe.lindex(_redis_key(limit, key), limit.events - 1)
            oldest = pipe.execute()
        waits = [
            datetime.fromtimestamp(float(at), UTC) + limit.window - now
            for (limit, _), at in zip(uses, oldest, strict=True)
            if at is not None
        ]
        return max((wait for wait in waits if wait > timedelta(0)), default=None)

    def _record_failure(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for limit, key in uses:
                name = _redis_key(limit, key)
                pipe.lpush(name, now.timestamp())
                pipe.ltrim(name, 0, limit.events - 1)
                pipe.pexpire(name, limit.window)
            pipe.execute()


def _redis_key(limit: RateLimit, key: str) -> str:
    return f"scalecommerce:login-failures:{limit.name}:{_digest(key)}"


def _client_key(client: str) -> str:
    return f"scalecommerce:login-client:{_digest(client)}"


def _digest(key: str) -> str:
    return blake2b(key.encode(errors="surrogatepass"), digest_size=16).hexdigest()
