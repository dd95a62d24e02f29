"""What guardrails need to know about the past prices of products: ranges, median, and changes by hand."""

from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from scalecommerce_core.pricing.arrays import Flags, Whole
from scalecommerce_core.pricing.facts import DAY, Facts, PriceIntervals, find_rows, last_rows

MEDIAN_DAYS: Final = 90
MONTH_DAYS: Final = 30


@frozen(eq=False)
class ManualChanges:
    """The last price change by hand of each product within the window; -1 if there is none."""

    at: Whole
    """Microseconds since 1970."""
    price: Whole
    """Minor units."""


def last_manual_changes(facts: Facts, past: PriceIntervals, since: int) -> ManualChanges:
    """The last change by hand at or after `since` (microseconds since 1970)."""
    at, price = np.full(len(facts), -1, dtype=np.int64), np.full(len(facts), -1, dtype=np.int64)
    manual = past.is_manual & (past.valid_from >= since)
    row = find_rows(facts.product, past.product[manual])
    mine = row >= 0
    # Rows are sorted by time, and the last assignment to an element stays.
    at[row[mine]], price[row[mine]] = past.valid_from[manual][mine], past.price[manual][mine]
    return ManualChanges(at, price)


def is_return(facts: Facts, past: PriceIntervals, manual: ManualChanges) -> Flags:
    """Whether the last change by hand returned to an earlier price that was not set by hand."""
    found = np.zeros(len(facts), dtype=np.bool_)
    automatic = ~past.is_manual
    row = find_rows(facts.product, past.product[automatic])
    mine = row >= 0
    row, price, begun = row[mine], past.price[automatic][mine], past.valid_from[automatic][mine]
    found[row[(price == manual.price[row]) & (begun < manual.at[row])]] = True
    return found


def was_withdrawn(facts: Facts, past: PriceIntervals, priced_at: Whole) -> Flags:
    """Whether the price of each product that began at `priced_at` was withdrawn."""
    found = np.zeros(len(facts), dtype=np.bool_)
    product, valid_from = past.product[past.is_withdrawn], past.valid_from[past.is_withdrawn]
    row = find_rows(facts.product, product)
    mine = row >= 0
    found[row[mine][priced_at[row[mine]] == valid_from[mine]]] = True
    return found


def price_ranges(facts: Facts, past: PriceIntervals, now: int, scale: float) -> dict[str, NDArray[np.int64]]:
    """Median price of 90 days, and lowest and highest price of 1 and 30 days, including the current price.

    The durations are multiplied by `scale`; the median is weighted by time. In the time of a withdrawn price
    and of a promotion, the price before counts.
    """
    size = len(facts)
    found = {"median_90d": facts.price.copy()}
    at = find_rows(facts.product, past.product)
    mine = (at >= 0) & ~past.is_withdrawn & ~past.is_promoted
    at, begins, price = at[mine], past.valid_from[mine], past.price[mine]
    if not len(at):
        found |= {f"{end}_{days}d": facts.price for end in ("lowest", "highest") for days in (1, MONTH_DAYS)}
        return found
    is_last = last_rows(at)
    ends = np.where(is_last, max(now, int(begins.max()) + 1), np.append(begins[1:], 0))
    first = np.append(0, np.flatnonzero(is_last)[:-1] + 1)
    product, current = at[first], facts.price[at]
    for days in (1, MONTH_DAYS):
        counted = np.where(ends > now - days * scale * DAY, price, current)
        low, high = facts.price.copy(), facts.price.copy()
        low[product] = np.minimum(low[product], np.minimum.reduceat(counted, first))
        high[product] = np.maximum(high[product], np.maximum.reduceat(counted, first))
        found |= {f"lowest_{days}d": low, f"highest_{days}d": high}
    weight = np.maximum(ends - np.maximum(begins, int(now - MEDIAN_DAYS * scale * DAY)), 0)
    # By product and price. Keys fit in 8 bytes: a price has at most ten digits, and a range some thousand products.
    order = np.argsort(at * (price.max() + 1) + price)
    at, price, weight = at[order], price[order], weight[order]
    total = np.bincount(at, weights=weight, minlength=size)
    running = np.cumsum(weight)
    before = np.append(0, np.cumsum(total))[:-1]
    enough = (running - before[at]) * 2 >= total[at]
    # A product whose intervals all ended before the window keeps its current price as the median.
    rows = np.flatnonzero(enough & (weight > 0))
    # In reverse, because the last assignment to an element stays.
    found["median_90d"][at[rows[::-1]]] = price[rows[::-1]]
    return found
