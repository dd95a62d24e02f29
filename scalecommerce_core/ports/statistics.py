"""Rollups: figures added up from events."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.rollups import RefundedPart, Rollups, SoldLine, Stockout

STATISTICS_CONSUMER: Final = "statistics"
"""The consumer of the event log that adds rollups up."""


@frozen
class PendingOrderFacts:
    """A PAID order without events, with the refunds that were recorded with it."""

    order_id: OrderId
    refunds: tuple[RefundedPart, ...] = ()

    @classmethod
    def of(cls, order: Order) -> "PendingOrderFacts":
        """`order.refunds` are those that are saved with it."""
        sellers = {line.product_id: line.seller_id for line in order.lines}
        return cls(
            order.id,
            tuple(
                RefundedPart(made.product_id, sellers[made.product_id], made.quantity, made.amount, made.at)
                for made in order.refunds
            ),
        )


@frozen
class PendingFacts:
    """Facts that came in without events and that no rollup shows yet."""

    products: Sequence[ProductId] = ()
    orders: Sequence[PendingOrderFacts] = ()


@frozen
class ProductCounters:
    """Since the engine knows the product; they only ever grow, so whoever keeps the last ones has what came since.

    Without what was imported or seeded. `revenue` and `refunded_amount` in minor units of the product's currency;
    `out_of_stock` is the time for which nothing could be sold.
    """

    product_id: ProductId
    views: int
    orders: int
    units: int
    revenue: int
    refunded_units: int
    refunded_amount: int
    out_of_stock: timedelta


class StatisticsRepository(Protocol):
    """Rollups, written by whoever has claimed `STATISTICS`; `add_pending_facts` and `counters` are for everybody."""

    def add_pending_facts(self, facts: PendingFacts) -> None:
        """Note facts that come without events, in the transaction that makes them."""
        ...

    def take_pending_facts(self, limit: int) -> PendingFacts:
        """Up to `limit` of the oldest notes; they are gone with the commit."""
        ...

    def needs_full_rebuild(self) -> bool:
        """Whether there are facts from before there were rollups."""
        ...

    def sold_lines(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Sequence[SoldLine]]:
        """The lines of orders that were paid, sellers' own purchases included: `Rollups` leaves them out."""
        ...

    def add(self, rollups: Rollups) -> None: ...

    def recount_products(self, product_ids: Collection[ProductId]) -> None:
        """Count products, with their views, for their seller as they stand on the shelf now."""
        ...

    def stockouts(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Stockout]: ...

    def save_stockouts(self, outages: Mapping[ProductId, Stockout]) -> None: ...

    def begin_stockouts(self, product_ids: Collection[ProductId], at: datetime) -> None:
        """Of those products that have nothing available and no outage yet."""
        ...

    def rebuild(self, seller_id: AccountId | None, now: datetime) -> None:
        """Make all sales and shelves anew, leaving out what is not folded yet; of one seller, if given."""
        ...

    def counters(self, first: ProductId, last: ProductId, now: datetime) -> Sequence[ProductCounters]:
        """Of all products with ids from `first` to `last`, by id, in one statement."""
        ...
