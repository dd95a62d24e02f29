"""Limits on what a client or an account may attempt."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from scalecommerce_core.domain.client_network import SITE_FACTOR, network_keys
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


def per_client(limit: RateLimit, address: str | None) -> Sequence[tuple[RateLimit, str]]:
    """The limits and keys of an event that a client causes, of which `limit` allows a number per client address.

    The IPv6 /48 of a client has a limit of its own, `SITE_FACTOR` times as high, because one person may have all
    networks in it. Clients with an empty address share one key. `address` is None for operators, who have no limit.
    """
    if address is None:
        return ()
    own, *sites = network_keys(address)
    per_site = evolve(limit, name=f"{limit.name} /48", events=SITE_FACTOR * limit.events)
    return [(limit, own), *((per_site, site) for site in sites)]


def acquire(limiter: RateLimiter, uses: Sequence[tuple[RateLimit, str]], now: datetime, what: str) -> None:
    """Count an event under each key; raise `TooManyAttempts` if a limit does not allow it."""
    if wait := limiter.acquire(uses, now):
        raise TooManyAttempts.of(what, wait)
