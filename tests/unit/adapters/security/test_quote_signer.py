import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.security.quote_signer import HmacQuoteSigner
from scalecommerce_core.ports import QuoteSigner
from scalecommerce_core.testing.contracts import QuoteSignerContract
from scalecommerce_core.testing.contracts.quote_signers import QUOTE

KEY = b"k" * 32


class TestHmacQuoteSigner(QuoteSignerContract):
    @pytest.fixture
    def signer(self) -> QuoteSigner:
        return HmacQuoteSigner(KEY)


def test_a_quote_of_another_key_is_refused() -> None:
    assert HmacQuoteSigner(b"o" * 32).verify(HmacQuoteSigner(KEY).sign(QUOTE)) is None


@given(st.data())
def test_a_changed_quote_is_refused(data: st.DataObject) -> None:
    signer = HmacQuoteSigner(KEY)
    text = signer.sign(QUOTE)
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + data.draw(st.characters(max_codepoint=0x17F)) + text[place + 1 :]
    # The last character of base64 has bits that mean nothing.
    assert signer.verify(changed) in ({None} if changed != text and place < len(text) - 1 else {None, QUOTE})


@given(st.text(max_size=60))
def test_no_text_raises_an_error(text: str) -> None:
    assert HmacQuoteSigner(KEY).verify(text) is None
