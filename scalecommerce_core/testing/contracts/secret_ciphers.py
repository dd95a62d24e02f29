"""Contract of `ports.SecretCipher`."""

import pytest

from scalecommerce_core.ports import DecryptionFailed, SecretCipher

CONTENT = b"whsec_\x00\xff"


class SecretCipherContract:
    """Subclasses provide the fixture `cipher`."""

    @pytest.mark.parametrize("content", [b"", CONTENT, bytes(10_000)])
    def test_decrypt_returns_what_was_encrypted(self, cipher: SecretCipher, content: bytes) -> None:
        assert cipher.decrypt(cipher.encrypt(content)) == content

    def test_the_ciphertext_does_not_contain_the_content(self, cipher: SecretCipher) -> None:
        assert "whsec" not in cipher.encrypt(CONTENT)

    @pytest.mark.parametrize("text", ["", "x", "gAAAAA", "ü" * 100])
    def test_text_that_is_no_ciphertext_is_refused(self, cipher: SecretCipher, text: str) -> None:
        with pytest.raises(DecryptionFailed):
            cipher.decrypt(text)
        with pytest.raises(DecryptionFailed):
            cipher.reencrypt(text)

    def test_a_ciphertext_of_the_present_key_is_not_encrypted_again(self, cipher: SecretCipher) -> None:
        encrypted = cipher.encrypt(CONTENT)
        assert cipher.reencrypt(encrypted) == encrypted
