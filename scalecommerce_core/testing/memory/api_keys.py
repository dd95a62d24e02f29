"""API keys in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from attrs import evolve

from scalecommerce_core.domain.api_key import ApiKey
from scalecommerce_core.domain.identifiers import AccountId, ApiKeyId
from scalecommerce_core.testing.memory.tables import Tables


class MemoryApiKeys:
    def __init__(self, tables: Tables, numbers: Callable[[str, int], list[int]]) -> None:
        self._keys = tables.api_keys
        self._numbers = numbers

    def next_ids(self, count: int) -> Sequence[ApiKeyId]:
        return [ApiKeyId(number) for number in self._numbers("api_keys", count)]

    def add(self, keys: Collection[ApiKey]) -> None:
        for key in keys:
            self._keys.put(key.id, key)

    save = add

    def lock_all(self, account_id: AccountId) -> Sequence[ApiKey]:
        mine = [evolve(key) for key in self._keys.all() if key.account_id == account_id and key.revoked_at is None]
        return sorted(mine, key=lambda key: key.id)

    def record_uses(self, uses: Mapping[ApiKeyId, datetime]) -> None:
        for key in self._keys.get_many(uses).values():
            if key.used_at is None or key.used_at < uses[key.id]:
                key.used_at = uses[key.id]
                self._keys.put(key.id, key)

    def delete_all(self, account_id: AccountId) -> None:
        for id_ in [key.id for key in self._keys.all() if key.account_id == account_id]:
            self._keys.delete(id_)
