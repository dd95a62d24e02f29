"""Changes of prices, as columns of the price history."""

from collections.abc import Sequence
from typing import Any, Final

from adapters.db.schema import price_history
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause, PriceChange, PriceWithdrawal

CHANGE_COLUMNS: Final = (
    price_history.c.price,
    price_history.c.currency,
    price_history.c.valid_from,
    price_history.c.cause,
    price_history.c.is_withdrawn,
    price_history.c.withdrawn_at,
    price_history.c.withdrawn_by,
    price_history.c.withdrawal_reason,
)


def price_change(product_id: ProductId, values: Sequence[Any]) -> PriceChange:
    """The change in the values of `CHANGE_COLUMNS`."""
    price, currency, valid_from, cause, is_withdrawn, *withdrawal = values
    return PriceChange(
        product_id, Money(price, currency), valid_from, PriceCause(cause), is_withdrawn, _withdrawal(withdrawal)
    )


def _withdrawal(values: Sequence[Any]) -> PriceWithdrawal | None:
    """None for a price that no seller withdrew."""
    at, by, reason = values
    return None if at is None else PriceWithdrawal(at, None if by is None else AccountId(by), reason)
