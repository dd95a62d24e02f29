from functools import cache

import pytest

from scalecommerce_core.services.rate_limiter import KnownRefusals, MemoryRateLimiter
from scalecommerce_core.testing.contracts import RateLimiterContract
from scalecommerce_core.testing.contracts.rate_limiters import NOW, ONE, SECOND, WINDOW, RateLimiters


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


def test_known_refusals_end_in_time_and_are_bounded() -> None:
    refusals = KnownRefusals(max_keys=2)
    refusals.add("a", NOW + SECOND)
    assert refusals.wait("a", NOW) == SECOND
    assert refusals.wait("a", NOW + SECOND) is None
    for key in "bcd":
        refusals.add(key, NOW + SECOND)
    assert [refusals.wait(key, NOW) for key in "bcd"] == [None, SECOND, SECOND]
