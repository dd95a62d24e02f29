from functools import cache

import pytest

from scalecommerce_core.services.rate_limiter import MemoryRateLimiter
from scalecommerce_core.testing.contracts import RateLimiterContract
from scalecommerce_core.testing.contracts.rate_limiters import NOW, ONE, WINDOW, RateLimiters


class TestMemoryRateLimiter(RateLimiterContract):
    @pytest.fixture
    def rate_limiters(self) -> RateLimiters:
        # It counts in one process: all limiters of a test are the same object.
        return cache(MemoryRateLimiter)


def test_the_keys_used_longest_ago_are_dropped_beyond_the_limit_of_keys() -> None:
    limiter = MemoryRateLimiter(max_keys=2)
    for key in ("a", "b", "c"):
        assert limiter.acquire([(ONE, key)], NOW) is None
    assert limiter.acquire([(ONE, "c")], NOW) == WINDOW
    assert limiter.acquire([(ONE, "b")], NOW) == WINDOW
    assert limiter.acquire([(ONE, "a")], NOW) is None
