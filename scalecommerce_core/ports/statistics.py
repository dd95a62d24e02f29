"""Rollups: statistics added up from the event log."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.rollups import RefundedPart, Rollups, SoldLine, Stockout

STATISTICS_CONSUMER: Final = "statistics"
"""Name of the consumer of the event log that updates the rollups."""


@frozen
class PendingOrderFacts:
    """A PAID order without events (imported or seeded), with its refunds."""

    order_id: OrderId
    refunds: tuple[RefundedPart, ...] = ()

    @classmethod
    def of(cls, order: Order) -> "PendingOrderFacts":
        """The facts of a paid order, and of the refunds that are saved with it."""
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
    """Products and orders that were written without events and are not in the rollups yet."""

    products: Sequence[ProductId] = ()
    orders: Sequence[PendingOrderFacts] = ()


@frozen
class ProductCounters:
    """Running totals of a product, without imported and seeded orders. They never decrease.

    The difference of two readings is what happened in between. `revenue` and `refunded_amount` are minor units of the
    product's currency; `out_of_stock` is the time without available units.
    """

    product_id: ProductId
    views: int
    orders: int
    units: int
    revenue: int
    refunded_units: int
    refunded_amount: int
    out_of_stock: timedelta
    weighted_views: int
    """Views with the weights of their viewers (`domain.product_views.ViewerTrust`), at least `views`."""


class StatisticsRepository(Protocol):
    """Rollups. Only the holder of the claim `STATISTICS_CONSUMER` writes them; `add_pending_facts` and `counters` need
    no claim.
    """

    def add_pending_facts(self, facts: PendingFacts) -> None:
        """Store facts without events, in the transaction that writes them, for the next update of the rollups."""
        ...

    def take_pending_facts(self, limit: int) -> PendingFacts:
        """Read and delete up to `limit` of the oldest pending facts."""
        ...

    def needs_full_rebuild(self) -> bool:
        """Whether orders exist from a release without rollups."""
        ...

    def sold_lines(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Sequence[SoldLine]]:
        """The lines of paid orders, sellers' purchases of their own products included (`Rollups` excludes them)."""
        ...

    def add(self, rollups: Rollups) -> None:
        """Add figures to the rollups."""
        ...

    def recount_products(self, product_ids: Collection[ProductId]) -> None:
        """Recount the products and views of the sellers' product counts, for these products in their present state."""
        ...

    def stockouts(self, product_ids: Collection[ProductId]) -> Mapping[ProductId, Stockout]:
        """The stockout record of each product that has one."""
        ...

    def save_stockouts(self, outages: Mapping[ProductId, Stockout]) -> None:
        """Insert or replace stockout records."""
        ...

    def begin_stockouts(self, product_ids: Collection[ProductId], at: datetime) -> None:
        """Begin a stockout at `at` for those products that have no available units and no stockout record yet."""
        ...

    def rebuild(self, seller_id: AccountId | None, now: datetime) -> None:
        """Recompute all sales rollups and product counts, or those of one seller, from orders and products.

        Events and pending facts that are not in the rollups yet are left out, so that they are added later, once.
        """
        ...

    def counters(self, first: ProductId, last: ProductId, now: datetime) -> Sequence[ProductCounters]:
        """Running totals of all products with ids from `first` to `last`, by id, read in one statement."""
        ...
