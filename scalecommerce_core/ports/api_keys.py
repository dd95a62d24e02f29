"""API keys of accounts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.api_key import ApiKey
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId


class ApiKeyRepository(Protocol):
    """API keys, by id. A commit that changes keys is reported to the change feed, except for `record_uses`."""

    def next_ids(self, count: int) -> Sequence[ApiKeyId]:
        """Draw `count` new ids."""
        ...

    def add(self, keys: Collection[ApiKey]) -> None:
        """Insert keys."""
        ...

    def lock_all(self, account_id: AccountId) -> Sequence[ApiKey]:
        """Lock and read the keys of an account that are not revoked."""
        ...

    def save(self, keys: Collection[ApiKey]) -> None:
        """Update keys that this transaction has locked."""
        ...

    def record_uses(self, uses: Mapping[ApiKeyId, datetime]) -> None:
        """Set when keys were used last, unless a later use is stored; unknown ids are ignored."""
        ...

    def delete_all(self, account_id: AccountId) -> None:
        """Delete all keys of an account, when it changes hands or is deleted."""
        ...
