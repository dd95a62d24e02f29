"""API keys: secrets of an account for programs, limited to scopes."""

import hashlib
import re
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import define, field, setters

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId
from scalecommerce_core.domain.text import NAME_LENGTH, normal_line, text_errors

API_KEY_START: Final = "sk_"
PREFIX_LENGTH: Final = 11
"""Characters of a key that are shown, so that its owner recognizes it: `API_KEY_START` and 48 bits of the secret."""
_FORM: Final = re.compile(r"sk_[A-Za-z0-9_-]{43}")


class Scope(StrEnum):
    """What an API key may do. Operations on accounts, passwords, sessions and keys are in no scope."""

    PRODUCTS_READ = "products:read"
    PRODUCTS_WRITE = "products:write"
    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    PRICING = "pricing"
    STATISTICS_READ = "statistics:read"
    EVENTS_READ = "events:read"
    WEBHOOKS = "webhooks"
    STAFF = "staff"
    """With the other scopes: on the data of all accounts, as staff. Only staff may create such a key."""


def is_api_key(token: str) -> bool:
    """Whether a Bearer token is an API key; signed tokens begin otherwise."""
    return token.startswith(API_KEY_START)


def api_key_digest(secret: str) -> str | None:
    """The stored form of a key; None for a text that cannot be one.

    A key has 256 random bits, so that nobody can guess it from its SHA-256. A slow hash, as for passwords, would only
    delay each request.
    """
    return hashlib.sha256(secret.encode()).hexdigest() if _FORM.fullmatch(secret) else None


@define
class ApiKey:
    """A key of an account. `previous_digest` is that of the secret before the last rotation, valid until
    `previous_until`.
    """

    id: ApiKeyId = field(on_setattr=setters.frozen)
    account_id: AccountId = field(on_setattr=setters.frozen)
    name: str
    prefix: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope] = field(on_setattr=setters.frozen)
    created_at: datetime = field(on_setattr=setters.frozen)
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    previous_digest: str | None = field(default=None, repr=False)
    previous_until: datetime | None = None
    used_at: datetime | None = None
    """When it was used last, to the minute."""

    @classmethod
    def created(
        cls,
        id: ApiKeyId,  # noqa: A002 - the field's name
        account_id: AccountId,
        *,
        name: str,
        scopes: Collection[str],
        secret: str,
        now: datetime,
        expires_at: datetime | None = None,
    ) -> "ApiKey":
        """A new key with this secret; raise `Invalid` naming the fields."""
        name = normal_line(name)
        errors = {"name": text_errors(name, at_most=NAME_LENGTH, at_least=1)}
        known = {scope.value for scope in Scope}
        unknown = sorted(set(scopes) - known)
        if unknown:
            errors["scopes"] = [f"Unknown scopes: {', '.join(unknown)}."]
        elif not set(scopes) - {Scope.STAFF.value}:
            errors["scopes"] = ["Name at least one scope other than staff."]
        if expires_at is not None and expires_at <= now:
            errors["expires_at"] = ["This must be in the future."]
        if any(errors.values()):
            raise Invalid({name: said for name, said in errors.items() if said})
        return cls(
            id,
            account_id,
            name,
            secret[:PREFIX_LENGTH],
            _digest(secret),
            frozenset(map(Scope, scopes)),
            now,
            expires_at,
        )

    def is_valid(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def rotate(self, secret: str, now: datetime, grace: timedelta) -> None:
        """Replace the secret; the former one remains valid for `grace`."""
        self.previous_digest, self.previous_until = self.digest, now + grace
        self.prefix, self.digest = secret[:PREFIX_LENGTH], _digest(secret)

    def revoke(self, now: datetime) -> None:
        if self.revoked_at is None:
            self.revoked_at = now


def _digest(secret: str) -> str:
    digest = api_key_digest(secret)
    if digest is None:
        raise ValueError("This secret does not have the form of an API key.")
    return digest
