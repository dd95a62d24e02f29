"""The contract suites on the doubles of the security ports."""

import pytest

from scalecommerce_core.ports import SecretCipher
from scalecommerce_core.testing.contracts import SecretCipherContract
from scalecommerce_core.testing.fakes import ReversingCipher


class TestReversingCipher(SecretCipherContract):
    @pytest.fixture
    def cipher(self) -> SecretCipher:
        return ReversingCipher()
