"""`ports.RateLimiter` in Redis: one list of times per limit and key, shortened to the events that the limit allows."""

from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from redis import Redis

from adapters.redis.outages import OutageFallback
from scalecommerce_core.ports import RateLimit
from scalecommerce_core.services.rate_limiter import MemoryRateLimiter

# KEYS: the lists. ARGV: the time in ms, then events and window in ms of each list. Returns the time to wait in ms.
_ACQUIRE: Final = """
local now, wait = tonumber(ARGV[1]), 0
for number, key in ipairs(KEYS) do
    local oldest = redis.call('LINDEX', key, ARGV[number * 2] - 1)
    if oldest then wait = math.max(wait, oldest + ARGV[number * 2 + 1] - now) end
end
if wait > 0 then return wait end
for number, key in ipairs(KEYS) do
    redis.call('LPUSH', key, ARGV[1])
    redis.call('LTRIM', key, 0, ARGV[number * 2] - 1)
    redis.call('PEXPIRE', key, ARGV[number * 2 + 1])
end
return 0
"""


class RedisRateLimiter:
    """Counts in one Lua script, so that concurrent events never exceed a limit.

    While Redis is away, each process counts its own events instead, and logs a warning once per outage.
    """

    def __init__(self, redis: Redis) -> None:
        self._acquire_script = redis.register_script(_ACQUIRE)
        self._own = MemoryRateLimiter()
        self._outages = OutageFallback("rate limits count each process on its own while Redis is away")

    def acquire(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        if not uses:
            return None
        arguments = [round(now.timestamp() * 1000)]
        for limit, _ in uses:
            arguments += [limit.events, round(limit.window.total_seconds() * 1000)]
        keys = [_redis_key(limit, key) for limit, key in uses]

        def acquire() -> timedelta | None:
            wait = self._acquire_script(keys=keys, args=arguments)
            return timedelta(milliseconds=wait) if wait else None

        return self._outages.call(acquire, lambda: self._own.acquire(uses, now))


def _redis_key(limit: RateLimit, key: str) -> str:
    """Hashed: keys contain network addresses and may be long."""
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return f"scalecommerce:rate:{limit.name}:{digest}"
