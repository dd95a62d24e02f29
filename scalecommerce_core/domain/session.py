"""Log-in sessions of accounts: their lifetimes, and the exchange of their refresh tokens."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field, frozen, setters

from scalecommerce_core.domain.client_network import shortened_network
from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.text import normal_line


@frozen
class Lifetimes:
    """Lifetimes of tokens and sessions.

    A session ends when it was not used for `refresh`, and at the latest `session` after the log-in; those of staff have
    shorter limits. For `refresh_grace` after its exchange, a refresh token returns the same new pair again.
    """

    access: timedelta = timedelta(minutes=10)
    refresh: timedelta = timedelta(days=14)
    refresh_grace: timedelta = timedelta(seconds=10)
    session: timedelta = timedelta(days=90)
    staff_refresh: timedelta = timedelta(hours=1)
    staff_session: timedelta = timedelta(hours=12)

    def end_of_session(self, opened_at: datetime, used_at: datetime, *, is_staff: bool) -> datetime:
        """When a session ends that is not used again."""
        idle, longest = (self.staff_refresh, self.staff_session) if is_staff else (self.refresh, self.session)
        return min(used_at + idle, opened_at + longest)


MAX_USER_AGENT: Final = 80


@frozen
class SessionClient:
    """What a session stores of the client that opened it: enough for its owner to recognize it, and no more."""

    network: str = ""
    user_agent: str = ""

    @classmethod
    def of(cls, address: str, user_agent: str) -> "SessionClient":
        """Shorten the network address and the User-Agent header of a request."""
        return cls(shortened_network(address), normal_line(user_agent)[:MAX_USER_AGENT])


def session_number(session_id: SessionId) -> int:
    """The number by which the owner of a session names it, derived from the id, which tokens contain. It is below 2^53,
    so that JavaScript and other JSON readers with 64-bit floats keep all its digits.
    """
    return int.from_bytes(hashlib.sha256(session_id.encode()).digest()[:8]) >> 11 or 1


def cookie_digest(secret: str) -> str:
    """What is stored of the secret of a cookie. No refresh token has an id with this prefix."""
    return f"cookie:{hashlib.sha256(secret.encode()).hexdigest()}"


@define
class Session:
    """A log-in session: a family of refresh tokens of which only `current` may be exchanged.

    The one exception is `previous`: for a short grace period after the exchange, using it again returns the same new
    tokens, for a client whose response was lost or that refreshed in two tabs at once.
    """

    id: SessionId = field(on_setattr=setters.frozen)
    account_id: AccountId = field(on_setattr=setters.frozen)
    current: str
    """The `jti` of the newest refresh token; for a browser session the digest of its cookie (`bind_cookie`)."""
    created_at: datetime = field(on_setattr=setters.frozen)
    expires_at: datetime
    revoked_at: datetime | None = None
    previous: str | None = None
    """The `jti` of the token that was exchanged for `current`; None if there is none or its grace period has ended."""
    rotated_at: datetime | None = None
    """When that exchange was made."""
    network: str = ""
    """The network from which the session was opened: an IPv4 /24 or an IPv6 /48, for the owner of the account."""
    user_agent: str = ""
    """The beginning of the client's User-Agent, for the owner of the account."""

    @property
    def issued_at(self) -> datetime:
        """When the tokens in force were issued."""
        return self.created_at if self.rotated_at is None else self.rotated_at

    def is_open(self, now: datetime) -> bool:
        """Whether the session is neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at

    def exchange(self, token: str, successor: str, now: datetime, *, ends_at: datetime, grace: timedelta) -> bool:
        """Exchange the refresh token with this `jti` for `successor`; return whether the caller gets the current
        tokens.

        The current token is replaced by `successor`. The previous token gets the same tokens again within `grace`. Any
        other token was exchanged before, so one of its two holders stole it: the session is revoked (RFC 9700, section
        4.14.2). After an exchange the session lasts until `ends_at`.
        """
        if not self.is_open(now):
            return False
        if token == self.current:
            self.previous, self.current, self.rotated_at = token, successor, now
            self.expires_at = ends_at
            return True
        # `now` may be slightly before the exchange: the clocks of two API processes differ.
        if grace and token == self.previous and now - self.issued_at < grace:
            return True
        self.revoke(now)
        return False

    def bind_cookie(self, secret: str, now: datetime) -> None:
        """Make this a browser session: the cookie with `secret` continues it, and no refresh token does."""
        self.current, self.previous, self.rotated_at = cookie_digest(secret), None, now

    def continue_by_cookie(self, secret: str, now: datetime, *, ends_at: datetime, reuse: timedelta) -> bool:
        """Continue a browser session until `ends_at`; return False if it has ended or the secret is another one.

        Within `reuse` after the last continuation nothing changes, so that the processes that serve one browser at
        once do not write the same row again and again.
        """
        if not self.is_open(now) or not hmac.compare_digest(self.current, cookie_digest(secret)):
            return False
        if not timedelta(0) <= now - self.issued_at < reuse:
            self.rotated_at, self.expires_at = now, ends_at
        return True

    def end_grace(self) -> None:
        """End the grace period: a second use of the previous refresh token now counts as reuse."""
        self.previous = None

    def revoke(self, now: datetime) -> None:
        """Make all refresh tokens of the session invalid."""
        if self.revoked_at is None:
            self.revoked_at = now
