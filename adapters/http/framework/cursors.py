"""Signed, opaque cursors. A cursor is valid only for the list and the filters for which it was created."""

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
from scalecommerce_core.domain.base64url import to_base64url

MIN_KEY_BYTES: Final = 32
MAC_BYTES: Final = 16
MAX_LENGTH: Final = 3000

Scalar = str | int | float | None


class Direction(StrEnum):
    AFTER = "after"
    BEFORE = "before"


@frozen
class Position:
    """A position in a list: after or before the row with the sort values `key`."""

    direction: Direction
    key: tuple[Scalar, ...]


class Cursors:
    """Encodes and decodes cursors.

    `key` signs them (at least `MIN_KEY_BYTES` bytes). `context` identifies the list and its filters; it is part of the
    signature, so that a cursor cannot be used elsewhere.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"The cursor key must have at least {MIN_KEY_BYTES} bytes.")
        self._key = hmac.digest(key, b"cursors", hashlib.sha256)

    def encode(self, position: Position, context: bytes) -> str:
        content = msgspec.json.encode((position.direction.value, *position.key))
        return to_base64url(self._mac(content, context) + content)

    def decode(self, text: str, context: bytes) -> Position:
        """Decode a cursor; raise a 400 `Problem` that names `cursor` if it is invalid for this context."""
        packed = _decode_base64(text)
        mac, content = packed[:MAC_BYTES], packed[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(content, context)):
            raise _invalid_cursor()
        direction, *key = msgspec.json.decode(content, type=list[Scalar])
        return Position(Direction(str(direction)), tuple(key))

    def _mac(self, content: bytes, context: bytes) -> bytes:
        return hmac.digest(self._key, hashlib.sha256(context).digest() + content, hashlib.sha256)[:MAC_BYTES]


def encode_context(parts: Sequence[Any]) -> bytes:
    """Encode the parts that identify a list and its filters: any values that msgspec encodes."""
    return msgspec.json.encode(parts, enc_hook=str)


def _decode_base64(text: str) -> bytes:
    """The decoded bytes, or no bytes, for which no signature is valid, if the text is not canonical base64."""
    if len(text) > MAX_LENGTH or not text.isascii():
        return b""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
    # The last character may contain unused bits; only the canonical spelling is accepted.
    return content if to_base64url(content) == text else b""


def _invalid_cursor() -> Exception:
    return invalid_fields(
        {"cursor": ["The cursor is invalid for this list and these filters: start again without it."]}
    )
