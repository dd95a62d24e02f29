"""Guardrails: limits for the prices that strategies propose. Prices are whole minor units; no limit uses floats.

They act in the order of `Guardrail`, and each one that acts is named in the decision. Durations apply to an epoch of
7 days and scale with the epoch's length, so that they also protect a demonstration with epochs of seconds.
"""

from enum import IntFlag, unique
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.interface import parameter
from scalecommerce_core.pricing.price_endings import nearest_ending
from scalecommerce_core.pricing.signals import Signals

USUAL_EPOCH_DAYS: Final = 7.0
_PARTS: Final = 10_000
"""Shares are converted to whole hundredths of a percent."""


@unique
class Guardrail(IntFlag):
    """Flags, in the order in which the guardrails act. Their values never change: stored decisions contain them."""

    HOLD_OUT = 1 << 16
    """An experiment keeps the product at the seller's own price, or returns it there: see `decisions.decide`."""
    FEW_VIEWS = 1 << 0
    SHORT_HISTORY = 1 << 1
    OUT_OF_STOCK = 1 << 2
    MANUAL_EDIT = 1 << 3
    PROMOTION = 1 << 4
    ANOMALY_HOLD = 1 << 13
    FLOOR = 1 << 5
    CEILING = 1 << 6
    STEP = 1 << 7
    DAY_LIMIT = 1 << 8
    MONTH_LIMIT = 1 << 9
    BEFORE_PROMOTION = 1 << 18
    MIN_HOLD = 1 << 15
    """The minimum hold of the product's category, which applies to all policies."""
    COOLDOWN = 1 << 10
    DEAD_BAND = 1 << 11
    ENDING = 1 << 12
    BREAKER = 1 << 14
    """Set by the circuit breaker, which acts on a run as a whole (`breaker`)."""


ENDINGS: Final = ("none", "99", "90", "whole")


@frozen
class Guardrails:
    """Settings of the guardrails of one policy."""

    least_views: int = parameter(30, at_least=0, at_most=10**9, says="Products with fewer views keep their price.")
    least_history_days: float = parameter(
        14, at_least=0, at_most=365, says="Products listed for fewer days keep their price."
    )
    anomaly_epochs: int = parameter(
        2,
        at_least=0,
        at_most=8,
        says="Most consecutive epochs for which a price is kept after a jump of views, sales or refunds that no price"
        " change explains; 0: never. Afterwards, one further epoch in eight at most.",
    )
    least_margin: float = parameter(
        0.0, at_least=0, at_most=0.9, says="Lowest margin above the cost, as a share of the price after fees."
    )
    over_median: float = parameter(
        0.3, at_least=0, at_most=10, says="Highest price, as a share above the median price of 90 days."
    )
    unknown_cost_range: float = parameter(
        0.2,
        at_least=0,
        at_most=0.9,
        says="Largest distance from the seller's price while the cost is unknown, as a share.",
    )
    step: float = parameter(0.05, at_least=0, at_most=0.5, says="Largest relative change in an epoch.")
    day_range: float = parameter(0.05, at_least=0, at_most=0.9, says="Largest relative change within a day.")
    month_range: float = parameter(0.2, at_least=0, at_most=0.9, says="Largest relative change within 30 days.")
    cooldown_days: float = parameter(7, at_least=0, at_most=365, says="Days for which a changed price is kept.")
    dead_band: float = parameter(0.02, at_least=0, at_most=0.5, says="Smaller relative changes are not made.")
    ending: str = parameter(
        "none",
        choices=ENDINGS,
        says="Price ending: .99, .90 (in a currency without decimals: 99, 90), a whole amount, or any.",
    )
    protect_days: float = parameter(
        30,
        at_least=0,
        at_most=365,
        says="Days before an announced promotion in which a price is not lowered, since that would lower the prior"
        " price that the promotion may state; 0: never. These days do not scale with the epoch.",
    )
    breaker_share: float = parameter(
        0.3,
        at_least=0,
        at_most=1,
        says="Circuit breaker: largest share of prices that may change by more than 4 % in a run.",
    )
    breaker_mean: float = parameter(
        0.02, at_least=0, at_most=1, says="Circuit breaker: largest mean relative change of all prices in a run."
    )
    breaker_least: int = parameter(
        50,
        at_least=0,
        at_most=10**9,
        says="Circuit breaker: runs with fewer prices are not limited.",
    )


def apply_guardrails(wanted: Floats, seen: Signals, rails: Guardrails, *, epoch_days: float) -> tuple[Whole, Whole]:
    """Apply the guardrails to proposed prices (minor units; NaN keeps the price).

    Return new prices in minor units, and the `Guardrail` flags that acted.
    """
    scale = epoch_days / USUAL_EPOCH_DAYS
    old = seen.price
    acted = _freezing_guardrails(seen, rails, scale)
    free = (acted == 0) & ~np.isnan(wanted)

    target = np.where(free, np.clip(np.nan_to_num(wanted, nan=0.0), MIN_PRICE, MAX_PRICE), old)
    price = _Price(np.rint(target).astype(np.int64), free, acted)
    floor, ceiling = price_bounds(seen, rails)
    price.bound(floor, ceiling, Guardrail.FLOOR, Guardrail.CEILING)

    low, high = price_band(old, old, rails.step)
    price.bound(low, high, Guardrail.STEP, Guardrail.STEP)
    for limit, lowest, highest, share in (
        (Guardrail.DAY_LIMIT, seen.lowest_1d, seen.highest_1d, rails.day_range),
        (Guardrail.MONTH_LIMIT, seen.lowest_30d, seen.highest_30d, rails.month_range),
    ):
        least, most = price_band(np.where(lowest < 0, old, lowest), np.where(highest < 0, old, highest), share)
        # The current price is always allowed.
        low, high = np.maximum(low, np.minimum(least, old)), np.minimum(high, np.maximum(most, old))
        price.bound(low, high, limit, limit)

    # A legal period, which does not scale with the epoch.
    price.hold(old, (price.now < old) & (seen.until_promotion < rails.protect_days), Guardrail.BEFORE_PROMOTION)
    # A rule of the marketplace, in days of the calendar: it does not scale with the epoch.
    price.hold(old, (price.now != old) & (seen.since_change < seen.min_hold_days), Guardrail.MIN_HOLD)
    price.hold(old, (price.now != old) & (seen.since_change < rails.cooldown_days * scale), Guardrail.COOLDOWN)
    least_move = np.maximum(-(-old * _parts(rails.dead_band) // _PARTS), 1)
    price.hold(old, (price.now != old) & (np.abs(price.now - old) < least_move), Guardrail.DEAD_BAND)

    if rails.ending != "none":
        # The ending must not reverse a change or make it smaller than the dead band.
        low, high = np.maximum(low, floor), np.minimum(high, ceiling)
        rises = price.now > old
        ended, found = nearest_ending(
            price.now,
            np.where(rises, np.maximum(low, old + least_move), low),
            np.where(rises, high, np.minimum(high, old - least_move)),
            rails.ending,
            seen.minor_per_unit,
        )
        price.hold(ended, found & (price.now != old) & (ended != price.now), Guardrail.ENDING)
    return price.now, price.acted


def price_bounds(seen: Signals, rails: Guardrails) -> tuple[Whole, Whole]:
    """Lowest and highest price (inclusive), rounded towards each other; the floor takes precedence."""
    known = seen.cost >= 0
    # 10^10 · 10^8 still fits into 63 bits.
    share = (_PARTS - seen.fee) * (_PARTS - _parts(rails.least_margin))
    by_cost = -(-np.maximum(seen.cost, 0) * (_PARTS * _PARTS) // share)
    own = seen.own_price()
    least, most = price_band(own, own, rails.unknown_cost_range)
    floor = np.maximum(np.maximum(seen.min_price, np.where(known, by_cost, least)), MIN_PRICE)
    by_median = seen.median_90d * (_PARTS + _parts(rails.over_median)) // _PARTS
    ceiling = np.where(seen.max_price < 0, MAX_PRICE, seen.max_price)
    ceiling = np.minimum(ceiling, np.where(seen.median_90d < 0, MAX_PRICE, by_median))
    ceiling = np.minimum(ceiling, np.where(known, MAX_PRICE, most))
    floor = np.minimum(floor, MAX_PRICE)
    return floor, np.maximum(ceiling, floor)


def price_band(lowest: Whole, highest: Whole, share: float) -> tuple[Whole, Whole]:
    """The band from `highest` · (1 - share) to `lowest` · (1 + share), rounded inwards."""
    parts = _parts(share)
    return -(-highest * (_PARTS - parts) // _PARTS), lowest * (_PARTS + parts) // _PARTS


def guardrail_names(acted: int) -> tuple[str, ...]:
    """Names of the guardrails in a decision's flags, in order."""
    return tuple(rail.name.lower() for rail in Guardrail if acted & rail and rail.name is not None)


def _parts(share: float) -> int:
    return round(share * _PARTS)


def _freezing_guardrails(seen: Signals, rails: Guardrails, scale: float) -> Whole:
    """Flags of the guardrails that keep a price regardless of the proposal."""
    acted = np.zeros(len(seen), dtype=np.int64)
    for rail, holds in (
        (Guardrail.FEW_VIEWS, seen.views_ever < rails.least_views),
        (Guardrail.SHORT_HISTORY, seen.history_days < rails.least_history_days * scale),
        (Guardrail.OUT_OF_STOCK, seen.stock <= 0),
        (Guardrail.MANUAL_EDIT, seen.since_edit < USUAL_EPOCH_DAYS * scale),
        (Guardrail.PROMOTION, seen.promoted),
        (Guardrail.ANOMALY_HOLD, seen.is_held & (rails.anomaly_epochs > 0)),
    ):
        acted |= np.where(holds, rail.value, 0)
    return acted


class _Price:
    """Prices while guardrails are applied, and flags of those that acted on each."""

    def __init__(self, now: Whole, free: Flags, acted: Whole) -> None:
        self.now, self.acted, self._free = now, acted, free

    def bound(self, low: Whole, high: Whole, below: Guardrail, above: Guardrail) -> None:
        """Raise prices to `low`, then lower them to `high`; where `low` exceeds `high`, `high` applies."""
        raised = np.where(self._free, np.maximum(self.now, low), self.now)
        self.acted |= np.where(raised != self.now, below.value, 0)
        self.now = np.where(self._free, np.minimum(raised, high), raised)
        self.acted |= np.where(self.now != raised, above.value, 0)

    def hold(self, price: Whole, where: Flags, rail: Guardrail) -> None:
        """Set the price to `price` where `where` is true."""
        self.acted |= np.where(where, rail.value, 0)
        self.now = np.where(where, price, self.now)
