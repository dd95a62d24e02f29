"""`ports.Vault`: authenticated encryption (Fernet: AES-128-CBC, HMAC-SHA256) with keys derived from secrets."""

import base64
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scalecommerce_core.ports import Unsealable

PURPOSE: Final = b"scalecommerce vault"
"""Keeps the derived key apart from all others that are made of the same secret."""


class DerivedVault:
    """Seals with a key made of `secret`; opens what was sealed with one of `previous` too."""

    def __init__(self, secret: str, previous: Sequence[str] = ()) -> None:
        self._keys = MultiFernet([_key(each) for each in (secret, *previous)])

    def seal(self, content: bytes) -> str:
        return self._keys.encrypt(content).decode()

    def open(self, sealed: str) -> bytes:
        try:
            return self._keys.decrypt(sealed.encode())
        except InvalidToken:
            raise Unsealable from None


def _key(secret: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
