"""A dictionary that keeps what was used last, up to so many bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

ENTRY_OVERHEAD: Final = 1_000
"""Bytes of an entry beside its content: the objects around it, and its place here."""


class LruCache(Generic[Key, Value]):
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Looked at, it is the last to go."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def peek(self, key: Key) -> Value | None:
        found = self._entries.get(key)
        return None if found is None else found[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """`size` is that of its content; what would take more than an eighth of all room is not kept."""
        self.discard(key)
        size += ENTRY_OVERHEAD
        if size * 8 > self._limit:
            return
        self._entries[key] = value, size
        self.size_bytes += size
        while self.size_bytes > self._limit:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size_bytes -= freed

    def discard(self, key: Key) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self.size_bytes -= found[1]

    def clear(self) -> None:
        self._entries.clear()
        self.size_bytes = 0


class AdmissionFilter(Generic[Key]):
    """Whether a key was met before, not long ago: two generations of at most `limit` keys each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: set[Key] = set()
        self._old: set[Key] = set()

    def seen_before(self, key: Key) -> bool:
        known = key in self._young or key in self._old
        self._young.add(key)
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, set()
        return known
