"""Limits while Redis is away."""

import logging

import pytest
from redis import RedisError

from adapters.redis.outages import RETRY_SECONDS, OutageFallback


def test_a_redis_that_does_not_answer_is_called_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now, calls, is_away = 0.0, 0, True

    def act() -> str:
        nonlocal calls
        calls += 1
        if is_away:
            raise RedisError
        return "redis"

    outages = OutageFallback("counted here", clock=lambda: now)
    with caplog.at_level(logging.WARNING):
        assert [outages.call(act, lambda: "memory") for _ in range(5)] == ["memory"] * 5
        assert calls == 1
        now += RETRY_SECONDS
        assert outages.call(act, lambda: "memory") == "memory"
        assert calls == 2
        now += RETRY_SECONDS
        is_away = False
        assert [outages.call(act, lambda: "memory") for _ in range(2)] == ["redis"] * 2
    assert [record.getMessage() for record in caplog.records] == ["counted here: Redis does not answer."]
