import pytest

from adapters.security.secret_cipher import FernetCipher
from scalecommerce_core.ports import DecryptionFailed, SecretCipher
from scalecommerce_core.testing.contracts import SecretCipherContract

SECRET, OTHER = "s" * 32, "o" * 32


class TestFernetCipher(SecretCipherContract):
    @pytest.fixture
    def cipher(self) -> SecretCipher:
        return FernetCipher(SECRET)


def test_encrypting_twice_gives_different_ciphertexts() -> None:
    cipher = FernetCipher(SECRET)
    assert cipher.encrypt(b"content") != cipher.encrypt(b"content")


def test_a_previous_secret_decrypts_what_it_encrypted() -> None:
    encrypted = FernetCipher(OTHER).encrypt(b"content")
    assert FernetCipher(SECRET, [OTHER]).decrypt(encrypted) == b"content"
    with pytest.raises(DecryptionFailed):
        FernetCipher(SECRET).decrypt(encrypted)


def test_a_ciphertext_of_a_former_key_is_encrypted_with_the_present_one() -> None:
    encrypted = FernetCipher(OTHER).encrypt(b"content")
    renewed = FernetCipher(SECRET, [OTHER]).reencrypt(encrypted)
    assert FernetCipher(SECRET).decrypt(renewed) == b"content"


def test_a_changed_ciphertext_is_refused() -> None:
    cipher = FernetCipher(SECRET)
    encrypted = cipher.encrypt(b"content")
    with pytest.raises(DecryptionFailed):
        cipher.decrypt(encrypted[:-5] + ("A" if encrypted[-5] != "A" else "B") + encrypted[-4:])


def test_stored_ciphertexts_of_earlier_releases_stay_readable() -> None:
    """The key derivation must not change: webhook secrets in databases were encrypted with it."""
    stored = "gAAAAABrDIgnSChtOzU1EtwaRNjliABInpIKH-cBTAOGZZNv5zlkGn3X56-u08nV_4I-e2ZWNflNrfD1Iu34KgwYn1sk6og9Ow=="
    assert FernetCipher(SECRET).decrypt(stored) == b"content"
