"""Copies that the processes of one engine share."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec


class SharedCache(Protocol):
    """May forget anything at any time, and holds what others have put there: who reads it asks the stamp.

    Waits for nothing for long, and never raises: away, it knows nothing and keeps nothing.
    """

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]: ...

    def put(self, copies: Mapping[str, bytes]) -> None: ...


class SharedCacheEntry(msgspec.Struct, array_like=True, frozen=True):
    """A copy on its way: `seller` 0 is nobody's, `body` None that there is nothing to see; lists have no `etag`."""

    snapshot_xid: int
    seller: int
    etag: str
    body: bytes | None


SHARED_TTL_FRACTION: Final = 0.5
"""Of the time that a copy may be shown, so much it is there for others; who takes it shows it for the rest."""
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SharedCacheEntry)


def encode_entry(snapshot_xid: int, seller: int, etag: str, body: bytes | None) -> bytes:
    return _ENCODER.encode(SharedCacheEntry(snapshot_xid, seller, etag, body))


def decode_entry(content: bytes | None) -> SharedCacheEntry | None:
    """None for what is not there, and for what is not ours: other releases may have put it there."""
    if content is None:
        return None
    try:
        return _DECODER.decode(content)
    except msgspec.MsgspecError:
        return None
