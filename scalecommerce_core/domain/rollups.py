"""Rollups: figures that statistics and pricing read instead of orders, added up from facts, each counted once.

Sellers' purchases of their own products are not sales (`is_sale`) and are excluded. A sale counts when it is PAID, in
the hour (UTC) of the payment; a refund in the hour in which it is made, in columns of its own, so that no number ever
decreases. Both belong to the seller of the line, in the order's currency, and to the price interval that was in force
when the order was placed. A product's figures include sales in its own currency only; imports can record others, which
count for the seller alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, field, frozen

from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import is_sale

FIGURES: Final = ("orders", "units", "revenue", "refunded_units", "refunded_amount")
"""The columns of every row, in this order; amounts in minor units."""

Figures = list[int]
"""Values of `FIGURES`."""
ZERO: Final = timedelta()
OUTAGE_MEMORY: Final = timedelta(days=28)
"""For how long `Stockout` keeps the bounds of a time without available units after its end."""
MOST_OUTAGES: Final = 100
"""At most this many are kept, the newest ones."""


@frozen
class SoldLine:
    """A line of a paid order.

    `valid_from` is when the price interval began that was in force when the order was placed. `is_past`: the order was
    imported or seeded.
    """

    order_id: OrderId
    product_id: ProductId
    seller_id: AccountId
    buyer_id: AccountId
    quantity: int
    price: int
    currency: str
    paid_at: datetime
    valid_from: datetime | None
    is_past: bool
    in_own_currency: bool


@frozen
class RefundedPart:
    """Refunded units of a product; `amount` in minor units."""

    product_id: ProductId
    seller_id: AccountId
    quantity: int
    amount: int
    at: datetime


@frozen
class Stockout:
    """How long a product had no available units so far; `since` is set while it has none."""

    duration: timedelta = ZERO
    since: datetime | None = None
    recent: tuple[tuple[datetime, datetime], ...] = ()
    """Beginning and end of each time without available units that ended in the `OUTAGE_MEMORY` before the last one did,
    oldest first, at most `MOST_OUTAGES`.
    """

    def begin(self, at: datetime) -> "Stockout":
        """The record after available units became zero at `at`."""
        return evolve(self, since=at)

    def end(self, at: datetime) -> "Stockout":
        """The record after units became available at `at`.

        The clocks of two machines differ, so an end may be before its beginning: the stockout then counts no time.
        """
        kept = [outage for outage in self.recent if outage[1] > at - OUTAGE_MEMORY]
        if self.since is not None and self.since < at:
            kept.append((self.since, at))
        return Stockout(self.total_until(at), recent=tuple(kept[-MOST_OUTAGES:]))

    def total_until(self, now: datetime) -> timedelta:
        """Total time without available units up to `now`."""
        return self.duration + (max(now - self.since, ZERO) if self.since is not None else ZERO)

    def total_between(self, since: datetime, now: datetime) -> timedelta:
        """Time without available units from `since`, at most `OUTAGE_MEMORY` before `now`, up to `now`."""
        outages = [*self.recent, *([(self.since, now)] if self.since is not None else [])]
        return sum((max(min(end, now) - max(begun, since), ZERO) for begun, end in outages), ZERO)


def hour_of(at: datetime) -> datetime:
    """The beginning of the hour."""
    return at.replace(minute=0, second=0, microsecond=0)


def _is_sale(line: SoldLine) -> bool:
    return is_sale(line.buyer_id, line.seller_id)


def _figures() -> Figures:
    return [0, 0, 0, 0, 0]


@define
class Rollups:
    """Figures to be added to the rows with these keys.

    `past` is the part of `products` that was imported or seeded, and `past_intervals` that of `intervals`.
    """

    products: dict[ProductId, Figures] = field(factory=lambda: defaultdict(_figures))
    past: dict[ProductId, Figures] = field(factory=lambda: defaultdict(_figures))
    product_hours: dict[tuple[ProductId, datetime], Figures] = field(factory=lambda: defaultdict(_figures))
    intervals: dict[tuple[ProductId, datetime], Figures] = field(factory=lambda: defaultdict(_figures))
    past_intervals: dict[tuple[ProductId, datetime], Figures] = field(factory=lambda: defaultdict(_figures))
    sellers: dict[tuple[AccountId, str], Figures] = field(factory=lambda: defaultdict(_figures))
    seller_hours: dict[tuple[AccountId, str, datetime], Figures] = field(factory=lambda: defaultdict(_figures))

    def add_sale(self, order: Sequence[SoldLine]) -> None:
        """Add all lines of a paid order; it counts as one order for each product and each seller in it."""
        products: set[ProductId] = set()
        sellers: set[AccountId] = set()
        for line in filter(_is_sale, order):
            amount = line.quantity * line.price
            for figures in self._of_product(line, line.paid_at):
                figures[0] += line.product_id not in products
                figures[1] += line.quantity
                figures[2] += amount
            for figures in self._of_seller(line, line.paid_at):
                figures[0] += line.seller_id not in sellers
                figures[1] += line.quantity
                figures[2] += amount
            products.add(line.product_id)
            sellers.add(line.seller_id)

    def add_refund(self, line: SoldLine, part: RefundedPart) -> None:
        """Add refunded units; `line` is any of the order's lines of this product."""
        if not _is_sale(line):
            return
        for figures in (*self._of_product(line, part.at), *self._of_seller(line, part.at)):
            figures[3] += part.quantity
            figures[4] += part.amount

    def _of_product(self, line: SoldLine, at: datetime) -> Iterable[Figures]:
        if line.in_own_currency:
            yield self.products[line.product_id]
            yield self.product_hours[line.product_id, hour_of(at)]
            if line.is_past:
                yield self.past[line.product_id]
            if line.valid_from is not None:
                yield self.intervals[line.product_id, line.valid_from]
                if line.is_past:
                    yield self.past_intervals[line.product_id, line.valid_from]

    def _of_seller(self, line: SoldLine, at: datetime) -> Iterable[Figures]:
        yield self.sellers[line.seller_id, line.currency]
        yield self.seller_hours[line.seller_id, line.currency, hour_of(at)]
