"""Withdrawals of mistaken prices, as columns of the price history."""

from collections.abc import Sequence
from typing import Any, Final

from adapters.db.schema import price_history
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.product import PriceWithdrawal

WITHDRAWAL_COLUMNS: Final = (
    price_history.c.withdrawn_at,
    price_history.c.withdrawn_by,
    price_history.c.withdrawal_reason,
)


def price_withdrawal(values: Sequence[Any]) -> PriceWithdrawal | None:
    """The withdrawal in the values of `WITHDRAWAL_COLUMNS`; None for a price that no seller withdrew."""
    at, by, reason = values
    return None if at is None else PriceWithdrawal(at, None if by is None else AccountId(by), reason)
