"""The prior price, which whoever announces a price reduction in the European Union must name beside the new price."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceChange

WINDOW: Final = timedelta(days=30)


def lowest_price_30d(changes: Sequence[PriceChange], now: datetime) -> Money:
    """The lowest price of the 30 days before the price in force began (Directive 98/6/EC art. 6a).

    `changes` are all of a product's, oldest first. The price that was already in force when those 30 days began
    counts too (CJEU C-330/23); the price in force only counts once it has been so for 30 days itself.
    """
    *earlier, current = changes
    if not earlier or current.valid_from <= now - WINDOW:
        return current.price
    opened = current.valid_from - WINDOW
    ends = [change.valid_from for change in changes[1:]]
    in_window = [change.price for change, end in zip(earlier, ends, strict=True) if end > opened]
    return min(in_window, key=lambda price: price.minor)
