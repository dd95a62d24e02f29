"""Promised prices, and the prior price that an announced reduction must state in the European Union.

Source of the prior price: Directive 98/6/EC, article 6a, and the Commission's guidance on it (2021/C 526/02). All
functions are pure: they read the price changes of a product, oldest first.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceChange


@frozen
class PricePromise:
    """Which former prices an order may still use, and for how many units."""

    lasts: timedelta = timedelta(minutes=10)
    """How long a former price is honoured after a price change."""
    least_in_force: timedelta = timedelta(seconds=5)
    """A price that was in force for less was hardly shown to anybody, and is not promised."""
    units: int = 10
    """Units of a product that one buyer may order at a former price below the price in force."""
    quoted_units: int = 100
    """Most units of a price quote, whose price is promised even if it was in force for a shorter time; 0: no quotes."""


def promised_prices(changes: Sequence[PriceChange], now: datetime, promise: PricePromise) -> frozenset[int]:
    """The prices, in minor units, that an order may use: the price in force, and former prices that are promised.

    `changes` begins with the price in force `promise.lasts` ago, or with the first one.
    """
    promised = set()
    for change, following in pairwise([*changes, None]):
        if change is None or change.is_withdrawn:
            continue
        if following is None or (
            following.valid_from > now - promise.lasts
            and following.valid_from - change.valid_from >= promise.least_in_force
        ):
            promised.add(change.price.minor)
    return frozenset(promised)


WINDOW: Final = timedelta(days=30)
"""The period before a price change that the prior price refers to."""


@frozen
class RunningPromotion:
    """The promotion of a product that is in force; `prior_price` is the price that its reduction may refer to."""

    name: str
    starts_at: datetime
    """The announced start."""
    ends_at: datetime
    prior_price: Money
    """The lowest price of the 30 days before `starts_at`."""


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


def lowest_price_before(changes: Sequence[PriceChange], start: datetime) -> Money | None:
    """The lowest price of the 30 days before `start`, with the price in force when they began; None: there was none."""
    in_window = [
        change.price
        for change, following in pairwise([*changes, None])
        if change is not None
        and change.valid_from < start
        and (following is None or following.valid_from > start - WINDOW)
    ]
    return min(in_window, key=lambda price: price.minor, default=None)


def reduction_in_force(changes: Sequence[PriceChange], promotion: RunningPromotion | None = None) -> Reduction | None:
    """The reduction that may be announced with the price in force; None: it is not below its prior price.

    Prices since the announced start of the `promotion` in force are successive steps of one reduction: they have its
    prior price (art. 6a(5)).
    """
    last = len(changes) - 1
    current = changes[last]
    if promotion is not None and current.valid_from >= promotion.starts_at:
        return _promotional_reduction(changes, promotion)
    if last == 0 or (prior := _lowest_before(changes, last)).minor <= current.price.minor:
        return None
    first = _first_step(changes, last)
    first_prior = _lowest_before(changes, first)
    return Reduction(
        applied_at=current.valid_from,
        prior_price=prior,
        first_applied_at=changes[first].valid_from,
        first_prior_price=first_prior if first_prior.minor > current.price.minor else None,
    )


def _promotional_reduction(changes: Sequence[PriceChange], promotion: RunningPromotion) -> Reduction | None:
    current, start, prior = changes[-1].price, promotion.starts_at, promotion.prior_price
    if prior.currency != current.currency or prior.minor <= current.minor:
        return None
    step = next(place for place, change in enumerate(changes) if change.valid_from >= start)
    first = _first_step(changes, step) if step else step
    is_earlier = first < step
    first_prior = _lowest_before(changes, first) if is_earlier and first else prior
    return Reduction(
        applied_at=start,
        prior_price=prior,
        first_applied_at=changes[first].valid_from if is_earlier else start,
        first_prior_price=first_prior if first_prior.minor > current.minor else None,
    )


def _first_step(changes: Sequence[PriceChange], step: int) -> int:
    """The first of the successive reductions that lead to `changes[step]`."""
    while step > 1 and changes[step - 1].price.minor <= changes[step - 2].price.minor:
        step -= 1
    return step


def _lowest_before(changes: Sequence[PriceChange], place: int) -> Money:
    """The lowest price of the 30 days before `changes[place]`; `place` is not 0."""
    opened = changes[place].valid_from - WINDOW
    in_window = [change.price for change, following in pairwise(changes[: place + 1]) if following.valid_from > opened]
    return min(in_window, key=lambda price: price.minor)
