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
    def hash(self, password: str) -> str: ...

    def verify(self, password_hash: str | None, password: str) -> bool:
        """The same work for a missing hash, so that timing does not tell which accounts exist."""
        ...

    def complaints(self, password: str, *, about: Iterable[str]) -> list[str]:
        """What is wrong with a new password (too short, common, only digits, close to a word of `about`)."""
        ...


class TokenKind(StrEnum):
    ACCESS = "access"
    REFRESH = "refresh"


@frozen
class Claims:
    """What a signed token says. `id` is its jti."""

    kind: TokenKind
    id: str
    account_id: AccountId
    session_id: SessionId
    is_staff: bool
    expires_at: datetime


class Tokens(Protocol):
    def issue(self, claims: Claims, now: datetime) -> str: ...

    def read(self, token: str, now: datetime) -> Claims:
        """Raise `TokenNotValid`."""
        ...


class LoginLimiter(Protocol):
    """Counts failed log-ins per key (an account's address, a client's address) in a sliding window."""

    def wait(self, keys: Collection[str], now: datetime) -> timedelta | None:
        """How long until another attempt is allowed; None: now."""
        ...

    def record_failure(self, keys: Collection[str], now: datetime) -> None: ...

    def reset(self, keys: Collection[str]) -> None: ...
