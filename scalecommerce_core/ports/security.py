"""Passwords, tokens, secrets, rate limits and the log of security events."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, SessionId
from scalecommerce_core.domain.price_quote import PriceQuote
from scalecommerce_core.domain.product_views import ViewerTrust


class DecryptionFailed(Exception):
    """The ciphertext was changed, or was encrypted with a key that is not configured."""


class SecretCipher(Protocol):
    """Encrypts secrets that are stored in the database and needed in plain text later, such as webhook secrets."""

    def encrypt(self, content: bytes) -> str:
        """Return the ciphertext as text; two calls with the same content may return different texts."""
        ...

    def decrypt(self, encrypted: str) -> bytes:
        """Return the content; raise `DecryptionFailed`."""
        ...

    def reencrypt(self, encrypted: str) -> str:
        """Return a ciphertext of the same content under the present key: the given one if its key is the present one.

        Raise `DecryptionFailed`.
        """
        ...


class QuoteSigner(Protocol):
    """Signs price quotes, so that nobody else can make or change one. Nothing is stored."""

    def sign(self, quote: PriceQuote) -> str:
        """The quote as text of at most 300 ASCII characters, without spaces."""
        ...

    def verify(self, text: str) -> PriceQuote | None:
        """The quote that was signed, expired or not; None for any other text."""
        ...


class Passwords(Protocol):
    """Password hashing and password rules."""

    def hash(self, password: str) -> str:
        """Hash a password with a random salt; takes long on purpose."""
        ...

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password matches the hash. A hash of None takes the same time, so that response times do not
        reveal which accounts exist.
        """
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than `hash` uses now."""
        ...

    def find_violations(self, password: str, *, about: Iterable[str]) -> list[str]:
        """Return one sentence per violated rule: too short, common, only digits, similar to a text of `about`, easy to
        guess.
        """
        ...


class OneTimePasswords(Protocol):
    """Time-based one-time passwords (RFC 6238)."""

    def find_step(self, secret: bytes, code: str, now: datetime, *, after: int) -> int | None:
        """Return the time step of a code that is valid now, also for a slightly wrong clock, and newer than `after`.

        None for any other code.
        """
        ...

    def uri(self, secret: bytes, account_name: str, issuer: str) -> str:
        """The `otpauth:` URI of a secret, which authenticator apps read as a QR code."""
        ...

    def text(self, secret: bytes) -> str:
        """The secret in base32, to type it into an app."""
        ...


class TokenKind(StrEnum):
    """The purpose of a token."""

    ACCESS = "access"
    REFRESH = "refresh"
    DEVICE = "device"
    """Recognises a device that has logged in to the account; it gives no access."""


@frozen
class Claims:
    """The content of a signed token. `id` is the claim `jti`; a device token belongs to no session."""

    kind: TokenKind
    id: str
    account_id: AccountId
    session_id: SessionId
    is_staff: bool
    expires_at: datetime
    trust: ViewerTrust = ViewerTrust.UNKNOWN
    """Trust in the account's views when the token was issued."""


class Tokens(Protocol):
    """Signed tokens."""

    def issue(self, claims: Claims, now: datetime) -> str:
        """Sign claims; `now` is the time of issue."""
        ...

    def read(self, token: str, now: datetime) -> Claims:
        """Verify a token and return its claims; raise `TokenNotValid`."""
        ...


@frozen
class RateLimit:
    """At most `events` events for each key in every time span of length `window`; `events` is at least 1.

    `name` separates the keys of limits, and appears in log lines, such as `sign-up per address`.
    """

    name: str
    events: int
    window: timedelta


class RateLimiter(Protocol):
    """Limits the rate of events per key, for all processes together."""

    def acquire(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        """Count one event under each pair of limit and key, and return None, if all limits allow it.

        Otherwise count nothing and return the time until all of them allow the event.
        """
        ...


class LoginLimiter(Protocol):
    """Counts failed log-ins in sliding windows and remembers clients, for all processes together."""

    def retry_after(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        """Return the time until all pairs of limit and key allow another attempt; None if they allow it now."""
        ...

    def record_failure(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> None:
        """Count a failed attempt under each pair of limit and key."""
        ...

    def reset(self, uses: Collection[tuple[RateLimit, str]]) -> None:
        """Reset the failures of these pairs."""
        ...

    def remember_client(self, client: str, until: datetime) -> None:
        """Make `client` known until then."""
        ...

    def is_known_client(self, client: str, now: datetime) -> bool:
        """Whether `client` is known. An adapter may forget clients early."""
        ...


class SecurityEventKind(StrEnum):
    """What happened. The values are stable: operators search logs for them and alert on their counters."""

    LOG_IN = "log_in"
    LOG_IN_FAILED = "log_in_failed"
    LOG_IN_LIMITED = "log_in_limited"
    SIGN_UP = "sign_up"
    ACCESS_REFUSED = "access_refused"
    LIMIT_REACHED = "limit_reached"
    OVERLOAD_SHED = "overload_shed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - not a password
    PASSWORD_RESET_REQUESTED = "password_reset_requested"  # noqa: S105 - not a password
    PASSWORD_RESET = "password_reset"  # noqa: S105 - not a password
    EMAIL_CHANGED = "email_changed"
    EMAIL_VERIFIED = "email_verified"
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    SESSION_REVOKED = "session_revoked"
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105 - not a password
    API_KEY_CHANGED = "api_key_changed"
    STAFF_APPOINTED = "staff_appointed"
    STAFF_DISMISSED = "staff_dismissed"
    ACCOUNT_DEACTIVATED = "account_deactivated"
    ACCOUNT_REACTIVATED = "account_reactivated"
    ACCOUNT_DELETED = "account_deleted"
    DATA_EXPORTED = "data_exported"
    MIN_HOLD_CHANGED = "min_hold_changed"
    PRICES_APPROVED = "prices_approved"
    PRICES_DECLINED = "prices_declined"


@frozen
class SecurityEvent:
    """An event for the security log, with no more personal data than these fields.

    `account_id` is the account concerned, `actor_id` the one that acted if it is another one, `address` the client's
    network address, and `detail` a text of the engine itself, such as the name of a limit; never input of a client.
    """

    kind: SecurityEventKind
    account_id: AccountId | None = None
    address: str = ""
    detail: str = ""
    actor_id: AccountId | None = None


class SecurityLog(Protocol):
    """Records security events for operators."""

    def record(self, event: SecurityEvent) -> None:
        """Record an event. Never waits for another process, and never raises."""
        ...
