"""Contract of `ports.QuoteSigner`."""

from datetime import UTC, datetime

import pytest
from attrs import evolve

from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE
from scalecommerce_core.domain.order import MAX_QUANTITY
from scalecommerce_core.domain.price_quote import PriceQuote
from scalecommerce_core.ports import QuoteSigner

QUOTE = PriceQuote(ProductId(7), AccountId(3), 1_00, "USD", 5, datetime(2026, 1, 1, 12, tzinfo=UTC))
LARGEST = PriceQuote(
    ProductId(2**63 - 1), AccountId(2**63 - 1), MAX_PRICE, "USD", MAX_QUANTITY, datetime(9999, 12, 31, tzinfo=UTC)
)


class QuoteSignerContract:
    """Subclasses provide the fixture `signer`."""

    @pytest.mark.parametrize("quote", [QUOTE, LARGEST])
    def test_a_signed_quote_is_verified(self, signer: QuoteSigner, quote: PriceQuote) -> None:
        text = signer.sign(quote)
        assert signer.verify(text) == quote
        assert len(text) <= 300
        assert text.isascii()
        assert not any(sign.isspace() for sign in text)

    def test_quotes_of_different_content_differ(self, signer: QuoteSigner) -> None:
        texts = {signer.sign(evolve(QUOTE, price=price)) for price in range(1, 20)}
        assert len(texts) == 19

    @pytest.mark.parametrize("text", ["", ".", "a.b", "a.b.c", "ü.ü", "quote-99", "A" * 10_000, "\0", "==.=="])
    def test_any_other_text_is_refused(self, signer: QuoteSigner, text: str) -> None:
        assert signer.verify(text) is None
