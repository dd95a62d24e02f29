"""The contract suites on the doubles of the security ports."""

from functools import cache

import pytest

from scalecommerce_core.ports import QuoteSigner, SecretCipher, Tokens
from scalecommerce_core.testing import MemoryLoginLimiter, RememberedQuotes, RememberedTokens
from scalecommerce_core.testing.contracts import (
    LoginLimiterContract,
    QuoteSignerContract,
    SecretCipherContract,
    TokensContract,
)
from scalecommerce_core.testing.contracts.login_limiters import Limiters
from scalecommerce_core.testing.fakes import ReversingCipher


class TestReversingCipher(SecretCipherContract):
    @pytest.fixture
    def cipher(self) -> SecretCipher:
        return ReversingCipher()


class TestRememberedQuotes(QuoteSignerContract):
    @pytest.fixture
    def signer(self) -> QuoteSigner:
        return RememberedQuotes()


class TestRememberedTokens(TokensContract):
    @pytest.fixture
    def tokens(self) -> Tokens:
        return RememberedTokens()


class TestMemoryLoginLimiter(LoginLimiterContract):
    @pytest.fixture
    def limiters(self) -> Limiters:
        # It counts in one process: all limiters of a test are the same object.
        return cache(MemoryLoginLimiter)
