"""The log-in limiter on a real Redis, and without one."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from adapters.redis.login_limiter import RedisLoginLimiter
from scalecommerce_core.testing.contracts import LoginLimiterContract
from scalecommerce_core.testing.contracts.login_limiters import NOW, ONE, TWO, WINDOW, Limiters


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


class TestRedisLoginLimiter(LoginLimiterContract):
    @pytest.fixture
    def limiters(self, redis: Redis) -> Limiters:
        return lambda: RedisLoginLimiter(redis)


def test_failures_are_bounded_and_expire_in_redis_with_the_window(redis: Redis) -> None:
    limiter = RedisLoginLimiter(redis)
    for _ in range(5):
        limiter.record_failure([(TWO, "ann@example.com")], NOW)
    (key,) = redis.keys()
    assert "ann" not in key
    assert redis.llen(key) == 2
    assert 0 < redis.ttl(key) <= WINDOW.total_seconds()


def test_without_redis_a_process_counts_its_own_failures_and_logs_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    limiter = RedisLoginLimiter(away)
    with caplog.at_level(logging.WARNING):
        assert limiter.retry_after([(ONE, "ann")], NOW) is None
        limiter.record_failure([(ONE, "ann")], NOW)
        assert limiter.retry_after([(ONE, "ann")], NOW) == WINDOW
        limiter.reset([(ONE, "ann")])
        assert limiter.retry_after([(ONE, "ann")], NOW) is None
        limiter.remember_client("ann at home", NOW + timedelta(days=1))
        assert limiter.is_known_client("ann at home", NOW)
    assert len(caplog.records) == 1
