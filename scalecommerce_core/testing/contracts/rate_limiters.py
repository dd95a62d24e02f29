"""Contract of `ports.RateLimiter`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from scalecommerce_core.ports import RateLimit, RateLimiter
from scalecommerce_core.testing.contracts.transactions import run_in_threads

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
WINDOW: Final = timedelta(minutes=5)
SECOND: Final = timedelta(seconds=1)
ONE: Final = RateLimit("one", 1, WINDOW)
THREE: Final = RateLimit("three", 3, WINDOW)

RateLimiters = Callable[[], RateLimiter]
"""Returns a limiter of one more process; all limiters share their events."""


class RateLimiterContract:
    """Subclasses provide the fixture `rate_limiters`."""

    def test_events_within_the_limit_are_allowed(self, rate_limiters: RateLimiters) -> None:
        limiter = rate_limiters()
        assert [limiter.acquire([(THREE, "a")], NOW) for _ in range(3)] == [None, None, None]
        assert limiter.acquire([], NOW) is None

    def test_an_event_beyond_the_limit_waits_until_the_first_one_leaves_the_window(
        self, rate_limiters: RateLimiters
    ) -> None:
        limiter = rate_limiters()
        for number in range(3):
            limiter.acquire([(THREE, "a")], NOW + number * SECOND)
        assert limiter.acquire([(THREE, "a")], NOW + 10 * SECOND) == WINDOW - 10 * SECOND
        assert limiter.acquire([(THREE, "a")], NOW + WINDOW) is None
        assert limiter.acquire([(THREE, "a")], NOW + WINDOW) == SECOND

    def test_refused_events_are_not_counted(self, rate_limiters: RateLimiters) -> None:
        limiter = rate_limiters()
        limiter.acquire([(ONE, "a")], NOW)
        for number in range(5):
            assert limiter.acquire([(ONE, "a")], NOW + number * SECOND) == WINDOW - number * SECOND
        assert limiter.acquire([(ONE, "a")], NOW + WINDOW) is None

    def test_all_limits_must_allow_an_event_and_the_longest_wait_counts(self, rate_limiters: RateLimiters) -> None:
        limiter = rate_limiters()
        limiter.acquire([(ONE, "a")], NOW)
        limiter.acquire([(ONE, "b")], NOW + 60 * SECOND)
        assert limiter.acquire([(ONE, "a"), (ONE, "b"), (THREE, "c")], NOW + 60 * SECOND) == WINDOW
        assert [limiter.acquire([(THREE, "c")], NOW + 60 * SECOND) for _ in range(3)] == [None, None, None]

    def test_keys_and_limits_are_counted_apart(self, rate_limiters: RateLimiters) -> None:
        limiter = rate_limiters()
        limiter.acquire([(ONE, "a")], NOW)
        assert limiter.acquire([(ONE, "b")], NOW) is None
        assert limiter.acquire([(RateLimit("other", 1, WINDOW), "a")], NOW) is None

    def test_processes_share_their_events(self, rate_limiters: RateLimiters) -> None:
        first, second = rate_limiters(), rate_limiters()
        first.acquire([(ONE, "a")], NOW)
        assert second.acquire([(ONE, "a")], NOW) == WINDOW

    def test_concurrent_events_never_exceed_the_limit(self, rate_limiters: RateLimiters) -> None:
        limiter, allowed = rate_limiters(), []

        def use() -> None:
            if limiter.acquire([(THREE, "a")], NOW) is None:
                allowed.append(1)

        run_in_threads(*[use] * 8)
        assert len(allowed) == 3

    @pytest.mark.parametrize("key", ["", "ünï", "\x00", "a b\n", "x" * 10_000])
    def test_any_text_is_a_key(self, rate_limiters: RateLimiters, key: str) -> None:
        limiter = rate_limiters()
        assert limiter.acquire([(ONE, key)], NOW) is None
        assert limiter.acquire([(ONE, key)], NOW) == WINDOW
