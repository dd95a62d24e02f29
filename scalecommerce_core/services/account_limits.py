"""Limits on what a client or an account may attempt."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.errors import TooManyAttempts
from scalecommerce_core.ports import RateLimit, RateLimiter


@frozen
class TokenLimits:
    """Limits on requests for e-mails with tokens, and on attempts to use a token.

    `emails_per_hour` applies to each recipient; a client address may request ten times as many, for those who share it.
    Resets of a password are counted apart, so that a stranger who requests other e-mails does not prevent them.
    """

    emails_per_hour: int = 5
    guesses: int = 50
    """Attempts to use a token, per client address in five minutes."""

    @property
    def per_recipient(self) -> RateLimit:
        return RateLimit("e-mails per recipient", self.emails_per_hour, timedelta(hours=1))

    @property
    def resets_per_recipient(self) -> RateLimit:
        return RateLimit("password resets per recipient", self.emails_per_hour, timedelta(hours=1))

    @property
    def per_address(self) -> RateLimit:
        return RateLimit("e-mails per address", 10 * self.emails_per_hour, timedelta(hours=1))

    @property
    def guesses_per_address(self) -> RateLimit:
        return RateLimit("e-mail tokens per address", self.guesses, timedelta(minutes=5))


DEFAULT_LIMITS: Final = TokenLimits()


def acquire(limiter: RateLimiter, uses: Sequence[tuple[RateLimit, str]], now: datetime, what: str) -> None:
    """Count an event under each key that is not empty; raise `TooManyAttempts` if a limit does not allow it."""
    if wait := limiter.acquire([(limit, key) for limit, key in uses if key], now):
        raise TooManyAttempts.of(what, wait)
