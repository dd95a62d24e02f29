"""Idempotency keys and the outcomes stored under them."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId


@frozen
class StoredOutcome:
    """What a key was used for, and the answer; `body` is None if whoever took the key stored none."""

    fingerprint: bytes
    body: bytes | None


class IdempotencyRepository(Protocol):
    def claim(
        self, keys: Mapping[tuple[AccountId, str], bytes], now: datetime
    ) -> Mapping[tuple[AccountId, str], StoredOutcome | None]:
        """Take the keys (with their fingerprints) that are free, and return what is stored under the others.

        None stands for a key that another transaction in flight holds: nobody waits for it, because the other
        commands of the batch have nothing to do with it. A key that has expired is free.
        """
        ...

    def store(self, bodies: Mapping[tuple[AccountId, str], bytes]) -> None:
        """Keep the outcomes of claimed keys."""
        ...

    def release(self, keys: Collection[tuple[AccountId, str]]) -> None:
        """Give claimed keys back: refusals are not stored."""
        ...

    def purge(self, before: datetime, limit: int) -> int:
        """Delete keys that were taken before; return how many."""
        ...
