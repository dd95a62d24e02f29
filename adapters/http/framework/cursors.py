"""Cursors of lists: opaque to clients, signed, good for the list and the filters that they were made for."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from attrs import frozen

from adapters.http.framework.problems import invalid_fields

MIN_KEY_BYTES: Final = 32
MAC_BYTES: Final = 16
MAX_LENGTH: Final = 3000

Scalar = str | int | float | None


class Direction(StrEnum):
    AFTER = "after"
    BEFORE = "before"


@frozen
class Position:
    """A page begins behind, or ends before, the row with these sort values."""

    direction: Direction
    key: tuple[Scalar, ...]


class Cursors:
    """`key` signs; `context` says for which list and filters, so that a cursor opens no other door."""

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"A cursor key has at least {MIN_KEY_BYTES} bytes.")
        self._key = hmac.digest(key, b"cursors", hashlib.sha256)

    def encode(self, position: Position, context: bytes) -> str:
        content = msgspec.json.encode((position.direction.value, *position.key))
        return _encode_base64(self._mac(content, context) + content)

    def decode(self, text: str, context: bytes) -> Position:
        """Raise a 400 `Problem` naming `cursor`."""
        packed = _decode_base64(text)
        mac, content = packed[:MAC_BYTES], packed[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(content, context)):
            raise _invalid_cursor()
        direction, *key = msgspec.json.decode(content, type=list[Scalar])
        return Position(Direction(str(direction)), tuple(key))

    def _mac(self, content: bytes, context: bytes) -> bytes:
        return hmac.digest(self._key, hashlib.sha256(context).digest() + content, hashlib.sha256)[:MAC_BYTES]


def encode_context(parts: Sequence[Any]) -> bytes:
    """What a cursor belongs to, from anything that msgspec encodes."""
    return msgspec.json.encode(parts, enc_hook=str)


def _encode_base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode_base64(text: str) -> bytes:
    """Nothing, which no signature fits, for text that we did not write."""
    if len(text) > MAX_LENGTH or not text.isascii():
        return b""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
    # The last character may hold spare bits; only our own spelling counts.
    return content if _encode_base64(content) == text else b""


def _invalid_cursor() -> Exception:
    return invalid_fields({"cursor": ["This cursor is not from this list with these filters: start again without it."]})
