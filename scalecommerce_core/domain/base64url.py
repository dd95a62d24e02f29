"""Bytes as URL-safe text: base64url without padding (RFC 4648, section 5)."""

from base64 import urlsafe_b64encode


def to_base64url(content: bytes) -> str:
    """Encode bytes, such as a token or digest, in the characters `A-Z a-z 0-9 - _`."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()
