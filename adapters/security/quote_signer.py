"""`ports.QuoteSigner` with HMAC-SHA256."""

import hmac
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import Final

from scalecommerce_core.domain.base64url import to_base64url
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.price_quote import PriceQuote

MAX_LENGTH: Final = 300
_FIELDS: Final = 6


class HmacQuoteSigner:
    """A quote is its fields and a MAC of them, both in base64url and separated by a point.

    `key` must serve no other purpose. A quote lives for minutes, so a changed key invalidates few of them.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, quote: PriceQuote) -> str:
        fields = (
            quote.product_id, quote.buyer_id, quote.price, quote.currency, quote.quantity,
            int(quote.expires_at.timestamp()),
        )  # fmt: skip
        content = " ".join(map(str, fields)).encode()
        return f"{to_base64url(content)}.{to_base64url(self._mac(content))}"

    def verify(self, text: str) -> PriceQuote | None:
        if len(text) > MAX_LENGTH or not text.isascii():
            return None
        try:
            content, mac = (_decode(part) for part in text.split("."))
        except ValueError:
            return None
        if not hmac.compare_digest(mac, self._mac(content)):
            return None
        product, buyer, price, currency, quantity, expires = content.decode().split(" ", _FIELDS)
        return PriceQuote(
            ProductId(int(product)),
            AccountId(int(buyer)),
            int(price),
            currency,
            int(quantity),
            datetime.fromtimestamp(int(expires), UTC),
        )

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
