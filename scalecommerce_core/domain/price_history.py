"""The prior price, which must be stated beside the new price when a reduction is announced in the European Union.

Source: Directive 98/6/EC, article 6a, and the Commission's guidance on it (2021/C 526/02). Pure functions of all price
changes of a product, oldest first.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceChange

WINDOW: Final = timedelta(days=30)
"""The period before a price change that the prior price refers to."""


@frozen
class Reduction:
    """The prior prices that a seller may state when announcing the price in force as a reduction."""

    applied_at: datetime
    """When the price in force began."""
    prior_price: Money
    """The lowest price of the 30 days before `applied_at`: the same however long the reduction lasts (art. 6a(2))."""
    first_applied_at: datetime
    """When the first of the successive reductions was applied, without an increase since."""
    first_prior_price: Money | None
    """The lowest price of the 30 days before `first_applied_at`, for member states that allow progressive reductions to
    refer to it (art. 6a(5)); None if it is not above the price in force.
    """


def lowest_price_30d(changes: Sequence[PriceChange], now: datetime) -> Money:
    """The lowest price of the 30 days before the current price began; the current price itself if it is 30 days old.

    The price that was already in force when those 30 days began counts too (CJEU C-330/23).
    """
    *earlier, current = changes
    if not earlier or current.valid_from <= now - WINDOW:
        return current.price
    return _lowest_before(changes, len(changes) - 1)


def reduction_in_force(changes: Sequence[PriceChange]) -> Reduction | None:
    """The reduction that may be announced with the price in force; None: it is not below its prior price."""
    last = len(changes) - 1
    current = changes[last]
    if last == 0 or (prior := _lowest_before(changes, last)).minor <= current.price.minor:
        return None
    first = last
    while first > 1 and changes[first - 1].price.minor <= changes[first - 2].price.minor:
        first -= 1
    first_prior = _lowest_before(changes, first)
    return Reduction(
        applied_at=current.valid_from,
        prior_price=prior,
        first_applied_at=changes[first].valid_from,
        first_prior_price=first_prior if first_prior.minor > current.price.minor else None,
    )


def _lowest_before(changes: Sequence[PriceChange], place: int) -> Money:
    """The lowest price of the 30 days before `changes[place]`; `place` is not 0."""
    opened = changes[place].valid_from - WINDOW
    in_window = [change.price for change, following in pairwise(changes[: place + 1]) if following.valid_from > opened]
    return min(in_window, key=lambda price: price.minor)
