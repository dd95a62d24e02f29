"""The log-in limiter on a real Redis, and without one."""

import logging
from collections.abc import Iterator

import pytest
from redis import Redis

from adapters.redis.login_limiter import ADDRESS_FACTOR, RedisLoginLimiter
from scalecommerce_core.testing.contracts import LoginLimiterContract
from scalecommerce_core.testing.contracts.login_limiters import ANN, NOW, WINDOW, Limiters


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


class TestRedisLoginLimiter(LoginLimiterContract):
    @pytest.fixture
    def limiters(self, redis: Redis) -> Limiters:
        return lambda attempts, window: RedisLoginLimiter(redis, attempts=attempts, window=window)


def test_a_client_address_gets_more_attempts_than_an_account(redis: Redis) -> None:
    limiter = RedisLoginLimiter(redis, attempts=1, window=WINDOW)
    for _ in range(ADDRESS_FACTOR - 1):
        limiter.record_failure(["address:10.0.0.1"], NOW)
    assert limiter.retry_after(["address:10.0.0.1"], NOW) is None
    limiter.record_failure(["address:10.0.0.1"], NOW)
    assert limiter.retry_after(["address:10.0.0.1"], NOW) == WINDOW


def test_failures_expire_in_redis_with_the_window(redis: Redis) -> None:
    RedisLoginLimiter(redis, attempts=1, window=WINDOW).record_failure([ANN], NOW)
    (key,) = redis.keys()
    assert 0 < redis.ttl(key) <= WINDOW.total_seconds()


def test_without_redis_every_attempt_is_allowed_and_a_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    away = Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    limiter = RedisLoginLimiter(away, attempts=1, window=WINDOW)
    with caplog.at_level(logging.WARNING):
        limiter.record_failure([ANN], NOW)
        assert limiter.retry_after([ANN], NOW) is None
        limiter.reset([ANN])
    assert len(caplog.records) == 3
