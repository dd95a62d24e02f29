"""Contract of `ports.LoginLimiter`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import pytest

from scalecommerce_core.ports import LoginLimiter, RateLimit
from scalecommerce_core.testing.contracts.transactions import run_in_threads

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
WINDOW: Final = timedelta(minutes=5)
SECOND: Final = timedelta(seconds=1)
ONE: Final = RateLimit("one", 1, WINDOW)
TWO: Final = RateLimit("two", 2, WINDOW)
THREE: Final = RateLimit("three", 3, WINDOW)
EIGHT: Final = RateLimit("eight", 8, WINDOW)

Limiters = Callable[[], LoginLimiter]
"""Returns a limiter of one more process; all limiters share their failures and clients."""


class LoginLimiterContract:
    """Subclasses provide the fixture `limiters`. Adapters may use the clock of their server to forget clients."""

    def test_without_failures_an_attempt_is_allowed(self, limiters: Limiters) -> None:
        limiter = limiters()
        assert limiter.retry_after([(THREE, "ann"), (THREE, "ben")], NOW) is None
        assert limiter.retry_after([], NOW) is None

    def test_the_last_allowed_failure_blocks_until_the_first_one_leaves_the_window(self, limiters: Limiters) -> None:
        limiter = limiters()
        for number in range(3):
            assert limiter.retry_after([(THREE, "ann")], NOW + number * SECOND) is None
            limiter.record_failure([(THREE, "ann")], NOW + number * SECOND)
        assert limiter.retry_after([(THREE, "ann")], NOW + 2 * SECOND) == WINDOW - 2 * SECOND
        assert limiter.retry_after([(THREE, "ann")], NOW + WINDOW - SECOND) == SECOND
        assert limiter.retry_after([(THREE, "ann")], NOW + WINDOW) is None

    def test_failures_leave_the_window_one_by_one(self, limiters: Limiters) -> None:
        limiter = limiters()
        limiter.record_failure([(TWO, "ann")], NOW)
        limiter.record_failure([(TWO, "ann")], NOW + 60 * SECOND)
        limiter.record_failure([(TWO, "ann")], NOW + WINDOW)
        assert limiter.retry_after([(TWO, "ann")], NOW + WINDOW) == 60 * SECOND

    def test_failures_beyond_the_limit_extend_the_block(self, limiters: Limiters) -> None:
        """Concurrent requests may all pass the check before any of their failures is recorded."""
        limiter = limiters()
        for number in range(4):
            limiter.record_failure([(TWO, "ann")], NOW + number * SECOND)
        assert limiter.retry_after([(TWO, "ann")], NOW + 3 * SECOND) == WINDOW - SECOND

    def test_keys_and_limits_are_counted_apart_and_the_longest_block_counts(self, limiters: Limiters) -> None:
        limiter = limiters()
        limiter.record_failure([(ONE, "ann")], NOW)
        assert limiter.retry_after([(ONE, "ben"), (RateLimit("other", 1, WINDOW), "ann")], NOW) is None
        limiter.record_failure([(ONE, "ben")], NOW + 60 * SECOND)
        assert limiter.retry_after([(ONE, "ann"), (ONE, "ben")], NOW + 60 * SECOND) == WINDOW

    def test_one_failure_counts_for_each_of_its_keys(self, limiters: Limiters) -> None:
        limiter = limiters()
        limiter.record_failure([(ONE, "ann"), (ONE, "ben")], NOW)
        assert [limiter.retry_after([(ONE, key)], NOW) for key in ("ann", "ben")] == [WINDOW, WINDOW]

    def test_a_reset_removes_the_failures_of_its_keys_only(self, limiters: Limiters) -> None:
        limiter = limiters()
        limiter.record_failure([(ONE, "ann"), (ONE, "ben")], NOW)
        limiter.reset([(ONE, "ann")])
        limiter.reset([(ONE, "unknown")])
        limiter.reset([])
        assert limiter.retry_after([(ONE, "ann")], NOW) is None
        assert limiter.retry_after([(ONE, "ben")], NOW) == WINDOW

    def test_processes_share_their_failures(self, limiters: Limiters) -> None:
        first, second = limiters(), limiters()
        first.record_failure([(TWO, "ann")], NOW)
        second.record_failure([(TWO, "ann")], NOW)
        assert first.retry_after([(TWO, "ann")], NOW) == second.retry_after([(TWO, "ann")], NOW) == WINDOW

    def test_concurrent_failures_all_count(self, limiters: Limiters) -> None:
        limiter = limiters()
        run_in_threads(*[partial(limiter.record_failure, [(EIGHT, "ann")], NOW)] * 7)
        assert limiter.retry_after([(EIGHT, "ann")], NOW) is None
        limiter.record_failure([(EIGHT, "ann")], NOW)
        assert limiter.retry_after([(EIGHT, "ann")], NOW) == WINDOW

    @pytest.mark.parametrize("key", ["", "ünï", "\x00", "a b\n", "x" * 10_000, "\ud800"])
    def test_any_text_is_a_key(self, limiters: Limiters, key: str) -> None:
        limiter = limiters()
        limiter.record_failure([(ONE, key)], NOW)
        assert limiter.retry_after([(ONE, key)], NOW) == WINDOW

    def test_a_client_is_known_in_all_processes_until_it_is_forgotten(self, limiters: Limiters) -> None:
        first, second = limiters(), limiters()
        now = datetime.now(UTC)
        assert not first.is_known_client("ann at home", now)
        first.remember_client("ann at home", now + 60 * SECOND)
        first.remember_client("ann at work", now - 60 * SECOND)
        assert second.is_known_client("ann at home", now)
        assert not second.is_known_client("ann at work", now)
        assert not second.is_known_client("ann elsewhere", now)
