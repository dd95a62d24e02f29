"""Counters of security events: one hash per day in Redis, with the number of events by kind."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

from redis import Redis, RedisError

from adapters.redis.reachability import describe_error
from scalecommerce_core.domain.errors import Unavailable

RETENTION: Final = timedelta(days=30)

logger = logging.getLogger(__name__)


class RedisSecurityCounters:
    """`adapters.security.security_log.EventCounters`. While Redis is away, counts are dropped; the log has the events.

    `now` returns the time in UTC, whose date selects the hash.
    """

    def __init__(self, redis: Redis, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._redis = redis
        self._now = now

    def add(self, counts: Mapping[str, int]) -> None:
        key = _redis_key(self._now().date())
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for kind, count in counts.items():
                    pipe.hincrby(key, kind, count)
                pipe.expire(key, RETENTION)
                pipe.execute()
        except RedisError as error:
            # No warning: the log has the events, and a command must not warn of a Redis that it does not need.
            logger.info("security events were not counted while Redis is away: %s", describe_error(error))

    def read(self, days: int) -> dict[date, dict[str, int]]:
        """Return the number of events by kind for each of the last `days` days, today first; raise `Unavailable`."""
        today = self._now().date()
        dates = [today - timedelta(days=back) for back in range(days)]
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for each in dates:
                    pipe.hgetall(_redis_key(each))
                answers = pipe.execute()
        except RedisError as error:
            raise Unavailable(describe_error(error)) from error
        return {
            each: {kind: int(count) for kind, count in answer.items()}
            for each, answer in zip(dates, answers, strict=True)
        }


def _redis_key(day: date) -> str:
    return f"scalecommerce:security-events:{day.isoformat()}"
