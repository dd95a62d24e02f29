"""Facts: what the marketplace has counted about products and their prices, in arrays; the input of `observation`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from attrs import fields, frozen

from scalecommerce_core.pricing.arrays import Flags, Whole

DAY: Final = 86_400_000_000
"""Microseconds."""
MOST_TOTAL: Final = 2**62
"""Upper limit of `Facts.net_amount`: revenue may have more than 8 bytes."""
MOST_EARLIER: Final = 200
"""Price intervals of a product before the window of its policy that are read as its history. More of them would need
much memory and time, and old ones say little about present demand."""
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_TICK: Final = timedelta(microseconds=1)
PROMOTED_SHARE: Final = 0.05
"""A time is no evidence if promotions overlap more than this share of it. Their prices begin and end some seconds after
the announced times, so the prices before and after them overlap them a little."""


@frozen(eq=False)
class Facts:
    """One row per product, sorted by id.

    Amounts are minor units, times microseconds since 1970, durations microseconds.

    `views`, `orders`, `units` and `refunded` are running totals of the current price interval, which began at
    `priced_at`. An order counts in the interval in which it was placed, whenever it is paid, and so do its refunds.
    Views are weighted (`domain.product_views.ViewerTrust`), without those while no unit was available. Imported and
    seeded sales count if the product also has imported or seeded views: sales without views are no evidence of a
    conversion rate.
    """

    product: Whole
    category: Whole
    price: Whole
    priced_at: Whole
    created_at: Whole
    cost: Whole
    """-1: unknown; also of the two limits."""
    min_price: Whole
    max_price: Whole
    stock: Whole
    stock_until: Whole
    """When the season of the stock ends or the next delivery arrives; -1: unknown."""
    views_ever: Whole
    """Views of the product, not weighted, at all prices."""
    views: Whole
    orders: Whole
    units: Whole
    """Units sold, before refunds."""
    refunded: Whole
    """Units refunded."""
    net_units: Whole
    """Running total of units less refunds at all prices, with the same imported sales as `units`."""
    net_amount: Whole
    """Running total of revenue less refunds at all prices."""
    out_of_stock: Whole
    """Running total of the time without available units."""
    minor_per_unit: Whole
    """Minor units in one whole unit of the currency."""
    promoted_from: Whole
    """When the latest announced promotion of the product that has begun began; -1: none."""
    promoted_until: Whole
    """When it ends or ended; -1: none."""
    held_out_price: Whole
    """The seller's own price, if an experiment keeps the product at it, else 0."""
    competitor: Whole
    """Lowest price of a competitor; -1: unknown."""
    competitor_at: Whole
    """When the competitor's price was observed; -1: unknown."""
    min_hold: Whole
    """Time for which a price of the category must be kept; 0: none."""
    next_promotion: Whole
    """When the next announced promotion of the product starts; -1: none."""

    def __len__(self) -> int:
        return len(self.product)

    def rows(self, chosen: Flags | Whole | slice) -> "Facts":
        return Facts(*(getattr(self, name)[chosen] for name in FACTS))


FACTS: Final = tuple(attribute.name for attribute in fields(Facts))
NEUTRAL_FACTS: Final = {
    "stock_until": -1, "promoted_from": -1, "promoted_until": -1, "held_out_price": 0, "competitor": -1,
    "competitor_at": -1, "min_hold": 0,
    "next_promotion": -1,
}  # fmt: skip
"""The values of facts about which nothing is known."""


@frozen(eq=False)
class PriceIntervals:
    """Price intervals that overlap a window of time, sorted by product and beginning.

    An interval ends where the next one of the product begins; the last one is the current price. A product whose price
    did not change within the window may have no rows. The totals are those of `Facts`, for each interval.
    """

    product: Whole
    valid_from: Whole
    price: Whole
    is_manual: Flags
    """Whether the price was not set by a policy. The first price of a product does not count as set by hand."""
    is_withdrawn: Flags
    """Whether the seller withdrew the price: it was a mistake, and is no observation."""
    is_promoted: Flags
    """Whether the price is that of an announced promotion."""
    views: Whole
    orders: Whole
    units: Whole
    refunded: Whole

    def __len__(self) -> int:
        return len(self.product)

    def rows(self, chosen: Flags | Whole | slice) -> "PriceIntervals":
        return PriceIntervals(*(getattr(self, name)[chosen] for name in INTERVAL_COLUMNS))

    def have_ended_after(self, moment: int) -> Flags:
        """Which intervals ended after `moment` (microseconds since 1970); the last one of a product has not ended."""
        ends = np.append(self.valid_from[1:], 0)[: len(self)]
        return ~last_rows(self.product) & (ends > moment)

    def in_force_after(self, moment: int) -> Flags:
        """Which intervals had not ended at `moment` (microseconds since 1970)."""
        return last_rows(self.product) | self.have_ended_after(moment)

    @classmethod
    def of_table(cls, table: Whole) -> "PriceIntervals":
        """The intervals in a table of whole numbers with one row for each interval, in any order."""
        table = table.reshape(-1, len(INTERVAL_COLUMNS))
        table = table[np.lexsort((table[:, 1], table[:, 0]))]
        columns = dict(zip(INTERVAL_COLUMNS, table.T.copy(), strict=True))
        return cls(**{name: values > 0 if name.startswith("is_") else values for name, values in columns.items()})

    @classmethod
    def concatenate(cls, parts: Sequence["PriceIntervals"]) -> "PriceIntervals":
        """Merge intervals of parts that have no product in common."""
        filled = [part for part in parts if len(part)] or [cls.of_table(np.empty(0, dtype=np.int64))]
        if len(filled) == 1:
            return filled[0]
        order = np.argsort(np.concatenate([part.product for part in filled]), kind="stable")
        return cls(*(np.concatenate([getattr(part, name) for part in filled])[order] for name in INTERVAL_COLUMNS))


INTERVAL_COLUMNS: Final = tuple(attribute.name for attribute in fields(PriceIntervals))


def last_rows(product: Whole) -> Flags:
    """Whether each row is the last one of its product, in rows that are sorted by product."""
    last: Flags = np.append(product[1:] != product[:-1], True)[: len(product)]
    return last


def find_rows(known: Whole, wanted: Whole) -> Whole:
    """Index of each of `wanted` in `known` (both sorted), or -1."""
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at, -1)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, as the arrays hold times."""
    return (moment - _EPOCH) // _TICK


def moment_of(time: int) -> datetime:
    """The inverse of `microseconds`."""
    return _EPOCH + time * _TICK
