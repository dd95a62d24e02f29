"""Form tokens, which show that a form was on a page of this site and was rendered for this browser."""

import binascii
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

LENGTH: Final = 16
"""Bytes of a token and of its mask."""


def create_form_token(secret: str) -> str:
    """A token for the browser whose cookie has this value.

    It is masked by random bytes, so that it is different on each page: otherwise its letters could be guessed from the
    sizes of compressed pages that repeat a part of the request (BREACH).
    """
    mask = secrets.token_bytes(LENGTH)
    return urlsafe_b64encode(mask + _xor(mask, _derive(secret))).decode()


def is_form_token(token: str, secret: str) -> bool:
    """Whether the token was created for the browser whose cookie has this value."""
    try:
        decoded = urlsafe_b64decode(token.encode())
    except (binascii.Error, UnicodeEncodeError):
        return False
    return len(decoded) == 2 * LENGTH and hmac.compare_digest(_xor(decoded[:LENGTH], decoded[LENGTH:]), _derive(secret))


def _derive(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"form token", hashlib.sha256)[:LENGTH]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
