"""Cursors of the event feed: opaque texts in which clients store how far they have read.

A cursor contains a version and, in version 1, the number of an event. Later versions may contain more, such as one
number for each of several databases.
"""

import base64
import binascii
from typing import Final

from scalecommerce_core.domain.base64url import to_base64url

_VERSION: Final = b"\x01"
_NUMBER_BYTES: Final = 8
MAX_NUMBER: Final = 2**63 - 1
"""The largest number of an event."""
EXAMPLE: Final = "AQAAAAAAAMxX"


class NotCursor(ValueError):
    """The text is no cursor of the event feed, or one of a later release."""


def encode_feed_cursor(number: int) -> str:
    """The cursor of the position after the event with this number; 0 is the position before all events."""
    return to_base64url(_VERSION + number.to_bytes(_NUMBER_BYTES, "big"))


def decode_feed_cursor(text: str) -> int:
    """The number in a cursor of `encode_feed_cursor`; raise `NotCursor`."""
    try:
        content = base64.b64decode(text, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        content = b""
    number = int.from_bytes(content[1:], "big")
    # Only the canonical spelling is accepted.
    if content[:1] != _VERSION or number > MAX_NUMBER or encode_feed_cursor(number) != text:
        raise NotCursor
    return number
