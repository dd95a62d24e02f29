"""`ports.SecretCipher` with Fernet (AES-128-CBC and HMAC-SHA256) and keys derived from secrets by HKDF (RFC 5869)."""

import base64
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scalecommerce_core.ports import DecryptionFailed

PURPOSE: Final = b"scalecommerce vault"
"""HKDF's `info`: separates this key from other keys derived from the same secret. Stored ciphertexts depend on it."""


class FernetCipher:
    """Encrypts with a key derived from `secret`; decrypts with keys derived from `secret` and `previous`."""

    def __init__(self, secret: str, previous: Sequence[str] = ()) -> None:
        self._present = _key(secret)
        self._keys = MultiFernet([self._present, *map(_key, previous)])

    def encrypt(self, content: bytes) -> str:
        return self._keys.encrypt(content).decode()

    def decrypt(self, encrypted: str) -> bytes:
        try:
            return self._keys.decrypt(encrypted.encode())
        except InvalidToken:
            raise DecryptionFailed from None

    def reencrypt(self, encrypted: str) -> str:
        try:
            self._present.decrypt(encrypted.encode())
        except InvalidToken:
            return self.encrypt(self.decrypt(encrypted))
        return encrypted


def _key(secret: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
