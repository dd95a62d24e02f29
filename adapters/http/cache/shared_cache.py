"""The cache that the API processes of one engine share."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from adapters.http.cache.list_dependencies import ListDependencies


class SharedCache(Protocol):
    """Maps text keys to bytes. It may lose any entry at any time.

    Other processes write to it, so a reader must check the `snapshot_number` of each entry. Calls never raise and
    return within a fraction of a second: while the server is away, `get` finds nothing and `put` stores nothing.
    """

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Return the value of each key, in order; None for a key that is not stored."""
        ...

    def put(self, entries: Mapping[str, bytes]) -> None: ...


class SharedCacheEntry(msgspec.Struct, array_like=True, frozen=True):
    """The stored form of a product. `seller` 0: no seller; `body` None: the response is 404."""

    snapshot: bytes
    """`snapshot_number`, big-endian: MessagePack has no integers of more than 64 bits."""
    seller: int
    etag: str
    body: bytes | None

    @property
    def snapshot_number(self) -> int:
        return int.from_bytes(self.snapshot, "big")


class SharedList(msgspec.Struct, array_like=True, frozen=True):
    """The stored form of a list."""

    snapshot: bytes
    dependencies: ListDependencies | None
    body: bytes

    @property
    def snapshot_number(self) -> int:
        return int.from_bytes(self.snapshot, "big")


SHARED_TTL_FRACTION: Final = 0.5
"""The share of an entry's TTL that it spends in the shared cache at most; the process that reads it serves it for the
rest of the TTL."""
_NUMBER_BYTES: Final = 16
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SharedCacheEntry)
_LIST_DECODER = msgspec.msgpack.Decoder(SharedList)


def encode_entry(snapshot_number: int, seller: int, etag: str, body: bytes | None) -> bytes:
    return _ENCODER.encode(SharedCacheEntry(snapshot_number.to_bytes(_NUMBER_BYTES, "big"), seller, etag, body))


def decode_entry(content: bytes | None) -> SharedCacheEntry | None:
    """Return None for a missing entry, and for bytes of another format (another release may have written them)."""
    if content is None:
        return None
    try:
        return _DECODER.decode(content)
    except msgspec.MsgspecError:
        return None


def encode_list(snapshot_number: int, dependencies: ListDependencies | None, body: bytes) -> bytes:
    return _ENCODER.encode(SharedList(snapshot_number.to_bytes(_NUMBER_BYTES, "big"), dependencies, body))


def decode_list(content: bytes | None) -> SharedList | None:
    """As `decode_entry`."""
    if content is None:
        return None
    try:
        return _LIST_DECODER.decode(content)
    except msgspec.MsgspecError:
        return None
