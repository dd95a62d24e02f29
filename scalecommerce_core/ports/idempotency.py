"""Idempotency keys and the responses stored under them."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId


@frozen
class StoredOutcome:
    """A used key: the fingerprint of its request, and the response; `body` is None if none was stored."""

    fingerprint: bytes
    body: bytes | None


class IdempotencyRepository(Protocol):
    """Idempotency keys; a key belongs to the account that sent it."""

    def claim(
        self, keys: Mapping[tuple[AccountId, str], bytes], now: datetime
    ) -> Mapping[tuple[AccountId, str], StoredOutcome | None]:
        """Claim the keys (with their fingerprints) that are free; return what is stored under the others.

        The value is None for a key that a transaction in progress holds. The call does not wait for it, because the
        other commands of the batch do not depend on it. A key older than `services.idempotency.KEY_LIFETIME` is free.
        """
        ...

    def find(
        self, keys: Collection[tuple[AccountId, str]], now: datetime
    ) -> Mapping[tuple[AccountId, str], StoredOutcome]:
        """What is stored under these keys; none is claimed. A key that a transaction in progress has claimed is not
        found.
        """
        ...

    def store(self, bodies: Mapping[tuple[AccountId, str], bytes]) -> None:
        """Store the responses of claimed keys."""
        ...

    def release(self, keys: Collection[tuple[AccountId, str]]) -> None:
        """Release claimed keys whose commands failed, so that they can be used again."""
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` keys that were claimed before `before`; return how many."""
        ...
