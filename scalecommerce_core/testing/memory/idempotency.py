"""Idempotency keys in memory."""

from collections.abc import Collection, Mapping
from datetime import datetime

from attrs import evolve

from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.ports import StoredOutcome
from scalecommerce_core.services.idempotency import KEY_LIFETIME
from scalecommerce_core.testing.memory.tables import StoredKey, Tables


class MemoryIdempotencyKeys:
    def __init__(self, tables: Tables) -> None:
        self._keys = tables.keys

    def claim(
        self, keys: Mapping[tuple[AccountId, str], bytes], now: datetime
    ) -> Mapping[tuple[AccountId, str], StoredOutcome | None]:
        known = self.find(keys, now)
        for key, fingerprint in sorted(keys.items()):
            if key not in known:
                self._keys.put(key, StoredKey(fingerprint, now))
        return known

    def find(
        self, keys: Collection[tuple[AccountId, str]], now: datetime
    ) -> Mapping[tuple[AccountId, str], StoredOutcome]:
        found = {key: self._keys.get(key) for key in sorted(keys)}
        return {
            key: StoredOutcome(stored.fingerprint, stored.body)
            for key, stored in found.items()
            if stored is not None and stored.taken_at > now - KEY_LIFETIME
        }

    def store(self, bodies: Mapping[tuple[AccountId, str], bytes]) -> None:
        for key, body in bodies.items():
            stored = self._keys.get(key)
            if stored is not None:
                self._keys.put(key, evolve(stored, body=body))

    def release(self, keys: Collection[tuple[AccountId, str]]) -> None:
        for key in keys:
            self._keys.delete(key)

    def purge(self, before: datetime, limit: int) -> int:
        old = [key for key, stored in self._keys.items() if stored.taken_at < before][:limit]
        for key in old:
            self._keys.delete(key)
        return len(old)
