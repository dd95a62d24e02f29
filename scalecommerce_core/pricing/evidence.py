"""Evidence: what was seen and sold at each price since the last reading of the running totals.

A reading is kept for one price interval of each product, the one that was current. Intervals that ended since then
give one observation each, in order of time, and the current interval gives the last one. What became known about
earlier prices, such as orders that were paid after a price change and refunds of older sales, is the rest of the
change of the product's net totals.
"""

from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.facts import DAY, PROMOTED_SHARE, Facts, PriceIntervals, find_rows, last_rows
from scalecommerce_core.pricing.policy_state import NET_AMOUNT, NET_UNITS, ORDERS_TOTAL, REFUNDED_TOTAL, PolicyState

SHORTEST_OBSERVATION: Final = 0.05
"""Shortest observation, as a share of an epoch. A run changes a price some seconds or minutes after its readings; what
is sold in so short a time
counts with the late sales of earlier prices."""
_PLAUSIBLE_FACTOR: Final = 2.0
"""Largest factor between a price and the mean price of late sales."""
_HOUR: Final = DAY // 24
"""Longest time of a promotion that an observation may contain, however long it is."""
_COUNTS: Final = ("views", "orders", "units", "refunded")


@frozen(eq=False)
class Observed:
    """What happened at one price of each row. All are zero where `is_evidence` is false."""

    row: Whole
    """Index of the product in `Facts`."""
    price: Whole
    views: Floats
    orders: Floats
    units: Floats
    """Units sold, before refunds."""
    refunded: Floats
    elapsed: Floats
    """Microseconds since the last reading or the beginning of the price."""
    on_sale: Floats
    """The part of `elapsed` in which units were available, in microseconds."""
    is_evidence: Flags

    def __len__(self) -> int:
        return len(self.row)

    def rows(self, chosen: Flags | Whole) -> "Observed":
        return Observed(
            self.row[chosen], self.price[chosen], self.views[chosen], self.orders[chosen], self.units[chosen],
            self.refunded[chosen], self.elapsed[chosen], self.on_sale[chosen], self.is_evidence[chosen],
        )  # fmt: skip


@frozen(eq=False)
class Evidence:
    """Everything that happened since the last readings."""

    ended: Observed
    """One row for each ended price interval that is evidence, sorted by product and time."""
    rank: Whole
    """The place of each row of `ended` among those of its product, from 0."""
    current: Observed
    """One row for each product."""
    late_units: Floats
    """Units less refunds of earlier prices that became known."""
    late_price: Floats
    """Their mean price."""


@frozen(eq=False)
class LastReadings:
    """The readings of the previous run, one row for each product.

    `is_known` is false for products without a reading, whose totals then count in full. `is_incomparable` marks
    readings of earlier releases, which are totals of the product instead of those of the interval: totals of an
    interval that was current then cannot be compared with them.
    """

    state: PolicyState
    is_known: Flags
    is_incomparable: Flags

    @classmethod
    def of_state(cls, old: PolicyState, known: Flags) -> "LastReadings":
        return cls(old, known, known & np.isnan(old.baseline_column(NET_UNITS)))

    def count(self, name: str) -> Floats:
        """The total `name` of the interval, NaN if it is unknown."""
        columns = {"orders": ORDERS_TOTAL, "refunded": REFUNDED_TOTAL}
        if name in columns:
            return self.state.baseline_column(columns[name])
        total: Whole = getattr(self.state, name)
        return total.astype(np.float64)


def gather_evidence(facts: Facts, past: PriceIntervals, last: LastReadings, *, epoch: int, now: int) -> Evidence:
    """Compare the totals with the last readings.

    `epoch` is its length in microseconds, `now` is in microseconds since 1970. Times of announced promotions and of
    withdrawn prices are no evidence (`PROMOTED_SHARE`), and neither are ended prices that were observed for at most
    `SHORTEST_OBSERVATION` epochs. The time without available units is known per product; it is divided among the
    prices in proportion to their time.
    """
    seen_at = np.where(last.is_known, last.state.seen_at, facts.created_at)
    share = _share_in_stock(facts, last, seen_at, now)
    current, net = _current(facts, last, seen_at, share, now)
    ended, ended_net = _ended(facts, past, last, seen_at, share, epoch)
    readable = last.is_known & ~last.is_incomparable
    late_units = np.where(readable, facts.net_units - last.state.baseline_column(NET_UNITS), 0.0)
    late_amount = np.where(readable, facts.net_amount - last.state.baseline_column(NET_AMOUNT), 0.0)
    late_units -= np.where(readable, net, 0.0)
    late_amount -= np.where(readable, net * facts.price, 0.0)
    counted = readable[ended.row]
    if counted.any():
        row, units = ended.row[counted], ended_net[counted]
        late_units -= np.bincount(row, weights=units, minlength=len(facts))
        late_amount -= np.bincount(row, weights=units * ended.price[counted], minlength=len(facts))
    kept = ended.rows(ended.is_evidence)
    return Evidence(kept, _rank(kept.row), current, late_units, _late_price(late_units, late_amount, facts, last))


def _share_in_stock(facts: Facts, last: LastReadings, seen_at: Whole, now: int) -> Floats:
    elapsed = np.maximum(now - seen_at, 1)
    out_of_stock = np.maximum(facts.out_of_stock - np.where(last.is_known, last.state.out_of_stock, 0), 0)
    return np.clip(1.0 - out_of_stock / elapsed, 0.0, 1.0)


def _current(facts: Facts, last: LastReadings, seen_at: Whole, share: Floats, now: int) -> tuple[Observed, Floats]:
    """The observation of the current prices, and their units less refunds even where these are no evidence."""
    same = last.is_known & (facts.priced_at == last.state.priced_at)
    comparable = same & ~last.is_incomparable
    counts = {name: _difference(getattr(facts, name), last.count(name), comparable) for name in _COUNTS}
    begun = np.maximum(facts.priced_at, seen_at)
    elapsed = np.maximum(now - begun, 0).astype(np.float64)
    net = counts["units"] - counts["refunded"]
    unknown = same & last.is_incomparable & (facts.priced_at < last.state.seen_at)
    evidence = ~unknown & ~_is_promoted(facts.promoted_from, facts.promoted_until, begun, now)
    row = np.arange(len(facts))
    return _observed(row, facts.price, counts, elapsed, elapsed * share, evidence), net


def _ended(  # noqa: PLR0917 - arrays of one run
    facts: Facts, past: PriceIntervals, last: LastReadings, seen_at: Whole, share: Floats, epoch: int
) -> tuple[Observed, Floats]:
    """Observations of ended prices, without those whose sales count as late, and their units less refunds."""
    row = find_rows(facts.product, past.product)
    ends = np.append(past.valid_from[1:], 0)
    ends = np.where(last_rows(past.product), facts.priced_at[row], ends) if len(past) else ends[:0]
    known = last.is_known[row]
    begun = np.where(known, np.maximum(past.valid_from, seen_at[row]), past.valid_from)
    excluded = past.is_withdrawn | past.is_promoted
    excluded |= _is_promoted(facts.promoted_from[row], facts.promoted_until[row], begun, ends)
    chosen = (row >= 0) & (past.valid_from < facts.priced_at[row])
    chosen &= ~known | ((past.valid_from >= last.state.priced_at[row]) & (ends > seen_at[row]))
    chosen &= (known & excluded) | (ends - begun > SHORTEST_OBSERVATION * epoch)
    past, row, known, begun, excluded = past.rows(chosen), row[chosen], known[chosen], begun[chosen], excluded[chosen]
    elapsed = np.maximum(ends[chosen] - begun, 0).astype(np.float64)
    same = known & (past.valid_from == last.state.priced_at[row])
    comparable = same & ~last.is_incomparable[row]
    counts = {name: _difference(getattr(past, name), last.count(name)[row], comparable) for name in _COUNTS}
    unknown = same & last.is_incomparable[row] & (past.valid_from < last.state.seen_at[row])
    net = counts["units"] - counts["refunded"]
    evidence = ~(excluded | unknown) & (elapsed > 0)
    return _observed(row, past.price, counts, elapsed, elapsed * share[row], evidence), net


def _observed(  # noqa: PLR0917 - arrays of one observation
    row: Whole, price: Whole, counts: dict[str, Floats], elapsed: Floats, on_sale: Floats, evidence: Flags
) -> Observed:
    counted = {name: np.where(evidence, values, 0.0) for name, values in counts.items()}
    on_sale = np.where(evidence, on_sale, 0.0)
    return Observed(row, price, **counted, elapsed=elapsed, on_sale=on_sale, is_evidence=evidence)


def _difference(total: Whole, before: Floats, same: Flags) -> Floats:
    return np.maximum(np.where(same, total - before, total), 0.0)


def _is_promoted(promoted_from: Whole, promoted_until: Whole, begun: Whole, ends: Whole | int) -> Flags:
    shared = np.minimum(ends, promoted_until) - np.maximum(begun, promoted_from)
    tolerated: Floats = np.minimum(PROMOTED_SHARE * (ends - begun), _HOUR)
    promoted: Flags = (promoted_from >= 0) & (shared > tolerated)
    return promoted


def _late_price(units: Floats, amount: Floats, facts: Facts, last: LastReadings) -> Floats:
    """Mean price of late sales; the last known price where sales and refunds at several prices have no such mean."""
    usual = np.where(last.is_known, last.state.price, facts.price).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = amount / units
    plausible = (price >= usual / _PLAUSIBLE_FACTOR) & (price <= usual * _PLAUSIBLE_FACTOR)
    return np.where(plausible, price, usual)


def _rank(row: Whole) -> Whole:
    """The place of each element among equal ones; equal elements are adjacent."""
    if not len(row):
        return row
    first = np.append(True, row[1:] != row[:-1])
    return np.arange(len(row)) - np.maximum.accumulate(np.where(first, np.arange(len(row)), 0))
