"""Contract of `ports.LoginLimiter`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import pytest

from scalecommerce_core.ports import LoginLimiter
from scalecommerce_core.testing.contracts.transactions import run_in_threads

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
WINDOW: Final = timedelta(minutes=5)
SECOND: Final = timedelta(seconds=1)
ANN: Final = "account:ann@example.com"
BEN: Final = "account:ben@example.com"

Limiters = Callable[[int, timedelta], LoginLimiter]
"""Returns a limiter of one more process with these attempts per key and window; all limiters share their failures."""


class LoginLimiterContract:
    """Subclasses provide the fixture `limiters`."""

    def test_without_failures_an_attempt_is_allowed(self, limiters: Limiters) -> None:
        limiter = limiters(3, WINDOW)
        assert limiter.retry_after([ANN, BEN], NOW) is None
        assert limiter.retry_after([], NOW) is None

    def test_the_last_allowed_failure_blocks_until_the_first_one_leaves_the_window(self, limiters: Limiters) -> None:
        limiter = limiters(3, WINDOW)
        for number in range(3):
            assert limiter.retry_after([ANN], NOW + number * SECOND) is None
            limiter.record_failure([ANN], NOW + number * SECOND)
        assert limiter.retry_after([ANN], NOW + 2 * SECOND) == WINDOW - 2 * SECOND
        assert limiter.retry_after([ANN], NOW + WINDOW - SECOND) == SECOND
        assert limiter.retry_after([ANN], NOW + WINDOW) is None

    def test_failures_leave_the_window_one_by_one(self, limiters: Limiters) -> None:
        limiter = limiters(2, WINDOW)
        limiter.record_failure([ANN], NOW)
        limiter.record_failure([ANN], NOW + 60 * SECOND)
        limiter.record_failure([ANN], NOW + WINDOW)
        assert limiter.retry_after([ANN], NOW + WINDOW) == 60 * SECOND

    def test_failures_beyond_the_limit_extend_the_block(self, limiters: Limiters) -> None:
        """Concurrent requests may all pass the check before any of their failures is recorded."""
        limiter = limiters(2, WINDOW)
        for number in range(4):
            limiter.record_failure([ANN], NOW + number * SECOND)
        assert limiter.retry_after([ANN], NOW + 3 * SECOND) == WINDOW - SECOND

    def test_keys_are_counted_apart_and_the_longest_block_counts(self, limiters: Limiters) -> None:
        limiter = limiters(1, WINDOW)
        limiter.record_failure([ANN], NOW)
        assert limiter.retry_after([BEN], NOW) is None
        limiter.record_failure([BEN], NOW + 60 * SECOND)
        assert limiter.retry_after([ANN, BEN], NOW + 60 * SECOND) == WINDOW

    def test_one_failure_counts_for_each_of_its_keys(self, limiters: Limiters) -> None:
        limiter = limiters(1, WINDOW)
        limiter.record_failure([ANN, BEN], NOW)
        assert [limiter.retry_after([key], NOW) for key in (ANN, BEN)] == [WINDOW, WINDOW]

    def test_a_reset_removes_the_failures_of_its_keys_only(self, limiters: Limiters) -> None:
        limiter = limiters(1, WINDOW)
        limiter.record_failure([ANN, BEN], NOW)
        limiter.reset([ANN])
        limiter.reset(["account:unknown"])
        assert limiter.retry_after([ANN], NOW) is None
        assert limiter.retry_after([BEN], NOW) == WINDOW

    def test_processes_share_their_failures(self, limiters: Limiters) -> None:
        first, second = limiters(2, WINDOW), limiters(2, WINDOW)
        first.record_failure([ANN], NOW)
        second.record_failure([ANN], NOW)
        assert first.retry_after([ANN], NOW) == second.retry_after([ANN], NOW) == WINDOW

    def test_concurrent_failures_all_count(self, limiters: Limiters) -> None:
        limiter = limiters(8, WINDOW)
        run_in_threads(*[partial(limiter.record_failure, [ANN], NOW)] * 7)
        assert limiter.retry_after([ANN], NOW) is None
        limiter.record_failure([ANN], NOW)
        assert limiter.retry_after([ANN], NOW) == WINDOW

    @pytest.mark.parametrize("name", ["", "ünï", "\x00", "a b\n", "x" * 10_000])
    def test_any_text_is_a_key(self, limiters: Limiters, name: str) -> None:
        limiter = limiters(1, WINDOW)
        limiter.record_failure([f"account:{name}"], NOW)
        assert limiter.retry_after([f"account:{name}"], NOW) == WINDOW
