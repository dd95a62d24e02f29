"""A thread-safe cache whose entries expire."""

import time
from collections.abc import Callable, Hashable
from hashlib import blake2b
from threading import Lock
from typing import Generic, TypeVar

from cachetools import TTLCache

V = TypeVar("V")


def cache_key(*parts: object) -> bytes:
    """A digest of the parts, whose `repr` must identify them: clients choose how long their texts and shapes are."""
    return blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=16).digest()


class TtlCache(Generic[V]):
    """Holds each value for `ttl` seconds; beyond `max_entries` it evicts the least recently used one."""

    def __init__(self, max_entries: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._values: TTLCache[Hashable, V] = TTLCache(max_entries, ttl, timer=clock)
        # cachetools does no locking.
        self._lock = Lock()

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        with self._lock:
            self._values[key] = value
