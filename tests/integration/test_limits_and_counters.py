"""The rate limiter and the counters of security events on a real Redis, and without one."""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from redis import Redis

from adapters.redis.installation_lease import KEY, LEASE_SECONDS, RedisInstallationLease
from adapters.redis.rate_limiter import RedisRateLimiter
from adapters.redis.security_counters import RETENTION, RedisSecurityCounters
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.contracts import RateLimiterContract
from scalecommerce_core.testing.contracts.rate_limiters import NOW, THREE, WINDOW, RateLimiters


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def away() -> Redis:
    return Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)


class TestRedisRateLimiter(RateLimiterContract):
    @pytest.fixture
    def rate_limiters(self, redis: Redis) -> RateLimiters:
        return lambda: RedisRateLimiter(redis)


def test_events_expire_in_redis_with_the_window_and_are_bounded(redis: Redis) -> None:
    limiter = RedisRateLimiter(redis)
    for number in range(9):
        limiter.acquire([(THREE, "a")], NOW + number * WINDOW)
    (key,) = redis.keys()
    assert redis.llen(key) == 3
    assert 0 < redis.ttl(key) <= WINDOW.total_seconds()


def test_without_redis_the_process_counts_and_logs_one_warning(away: Redis, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RedisRateLimiter(away)
    with caplog.at_level(logging.WARNING):
        answers = [limiter.acquire([(THREE, "a")], NOW) for _ in range(4)]
    assert answers == [None, None, None, WINDOW]
    assert len(caplog.records) == 1


def test_security_events_are_added_up_by_day_and_kind(redis: Redis) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    clock = SettableClock(midnight - timedelta(seconds=1))
    counters = RedisSecurityCounters(redis, clock.now)
    for seconds in (0, 1, 1):
        clock.advance(seconds=seconds)
        counters.add({"sign_up": 2, "log_in": 1})
    assert RedisSecurityCounters(redis, clock.now).read(3) == {
        date(2026, 3, 2): {"sign_up": 4, "log_in": 2},
        date(2026, 3, 1): {"sign_up": 2, "log_in": 1},
        date(2026, 2, 28): {},
    }
    assert all(0 < redis.ttl(key) <= RETENTION.total_seconds() for key in redis.scan_iter())


def test_counts_are_dropped_while_redis_is_away(away: Redis, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        RedisSecurityCounters(away).add({"sign_up": 1})
    assert len(caplog.records) == 1
    with pytest.raises(Unavailable):
        RedisSecurityCounters(away).read(1)


def test_a_redis_database_is_leased_to_one_installation(redis: Redis) -> None:
    first, second, renamed = "1", "2", "shop on db2"
    north, south = RedisInstallationLease(redis, first, "shop on db1"), RedisInstallationLease(redis, second, "other")
    assert (north.renew(), south.renew()) == ("", "shop on db1")
    ends_in = redis.pttl(KEY)
    assert 0 < ends_in <= LEASE_SECONDS * 1000
    # Processes of one installation may name it differently.
    redis.pexpire(KEY, 1_000)
    assert RedisInstallationLease(redis, first, renamed).renew() == ""
    assert redis.pttl(KEY) > 1_000
    assert south.renew() == renamed
    redis.delete(KEY)
    assert (RedisInstallationLease(redis, second, "other").renew(), north.renew()) == ("", "other")


def test_a_refused_installation_lets_the_holder_renew_its_lease_first(
    redis: Redis, away: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    north = RedisInstallationLease(redis, "1", "north")
    south = RedisInstallationLease(redis, "2", "south", clock=lambda: now[0])
    assert (north.renew(), south.renew()) == ("", "north")
    redis.flushdb()
    for _second in range(10):
        now[0] += 1
        assert south.renew() == "north"
    assert (north.renew(), south.renew()) == ("", "north")
    # Redis is away, then empty: the time begins again whenever it does not answer.
    redis.flushdb()
    assert south.renew() == "north"
    now[0] += LEASE_SECONDS
    with monkeypatch.context() as patched:
        patched.setattr(south, "_renew", RedisInstallationLease(away, "2", "south")._renew)
        with pytest.raises(Unavailable):
            south.renew()
    now[0] += 1
    assert south.renew() == "north"
    now[0] += LEASE_SECONDS
    assert south.renew() == "north"
    now[0] += 0.1
    assert (south.renew(), north.renew()) == ("", "south")
    # The lease that it has now is renewed without waiting.
    redis.delete(KEY)
    assert south.renew() == ""


def test_a_lease_is_not_decided_without_redis(away: Redis) -> None:
    with pytest.raises(Unavailable):
        RedisInstallationLease(away, "1", "shop").renew()
