"""Passwords, tokens, secrets and log-in limits."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, SessionId


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

    def find_violations(self, password: str, *, about: Iterable[str]) -> list[str]:
        """Return one sentence per violated rule: too short, common, only digits, similar to a text of
        `about`.
        """
        ...


class TokenKind(StrEnum):
    """The purpose of a token."""

    ACCESS = "access"
    REFRESH = "refresh"


@frozen
class Claims:
    """The content of a signed token. `id` is the claim `jti`."""

    kind: TokenKind
    id: str
    account_id: AccountId
    session_id: SessionId
    is_staff: bool
    expires_at: datetime


class Tokens(Protocol):
    """Signed tokens."""

    def issue(self, claims: Claims, now: datetime) -> str:
        """Sign claims; `now` is the time of issue."""
        ...

    def read(self, token: str, now: datetime) -> Claims:
        """Verify a token and return its claims; raise `TokenNotValid`."""
        ...


class LoginLimiter(Protocol):
    """Counts failed log-ins in a sliding window, per key: one of the account, one of the client's address."""

    def retry_after(self, keys: Collection[str], now: datetime) -> timedelta | None:
        """Return the time until all keys allow another attempt; None if they allow it now."""
        ...

    def record_failure(self, keys: Collection[str], now: datetime) -> None:
        """Count a failed attempt under each key."""
        ...

    def reset(self, keys: Collection[str]) -> None:
        """Reset the failures of these keys."""
        ...
