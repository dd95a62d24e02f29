"""Statistics: adds events and pending facts to the rollups, each once, and rebuilds the rollups on request.

The position in the event log, the pending facts and the rollups change in one transaction, so a crash at any point
leaves a consistent state, and no event is added twice.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.errors import ConnectionLost, TransactionAborted
from scalecommerce_core.domain.events import (
    OrderPaid,
    OrderRefunded,
    ProductEdited,
    ProductListed,
    ProductWithdrawn,
    StockRanOut,
    StockReturned,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.rollups import RefundedPart, Rollups, SoldLine, Stockout
from scalecommerce_core.ports import STATISTICS_CONSUMER, Clock, NumberedEvent, PendingFacts, Store, Transaction
from scalecommerce_core.services.retry import retry_on

LISTING_TOPICS: Final = frozenset({ProductListed.topic, ProductEdited.topic, ProductWithdrawn.topic})
"""Topics of events after which the sellers' product counts are recounted."""

FOLDED_TOPICS: Final = LISTING_TOPICS | {
    OrderPaid.topic,
    OrderRefunded.topic,
    StockRanOut.topic,
    StockReturned.topic,
}
"""Topics of the events that change rollups. Most events have others: two of three of a paid order, and all of an order
that is not paid."""


@frozen
class FoldResult:
    """How many events were processed, and how many pending facts were added to the rollups."""

    events: int = 0
    pending: int = 0

    def is_full(self, limit: int) -> bool:
        """Whether the limit was reached, so that more may be left."""
        return max(self.events, self.pending) >= limit


class Statistics:
    """Any number of processes may call `fold`: one works at a time, the others return at once."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @retry_on(TransactionAborted, ConnectionLost)
    def fold(self, limit: int = 2_000) -> FoldResult:
        """Add up to `limit` numbered events, and as many pending facts, to the rollups.

        Returns an empty result while another transaction folds. After an upgrade from a release without rollups, it
        rebuilds them instead.
        """
        with self._store.begin() as tx:
            after = tx.events.claim(STATISTICS_CONSUMER, begin=0)
            if after is None:
                return FoldResult()
            if not tx.statistics.needs_full_rebuild():
                return self._fold(tx, after, limit)
        self.rebuild()
        return FoldResult(pending=limit)

    def _fold(self, tx: Transaction, after: int, limit: int) -> FoldResult:
        found = tx.events.read_topics_after(after, limit, FOLDED_TOPICS)
        pending = tx.statistics.take_pending_facts(limit)
        if found.last > after:
            tx.events.advance(STATISTICS_CONSUMER, found.last)
        facts = _Facts.of(found.events, pending)
        # The same order in which `add_views` locks these rows.
        tx.statistics.recount_products(facts.products)
        tx.statistics.add(facts.rollups_of(tx.statistics.sold_lines(facts.orders)))
        stockouts = dict(tx.statistics.stockouts(facts.changed_products))
        for change in facts.stock_changes:
            stockouts[change.product_id] = change.apply(stockouts.get(change.product_id, Stockout()))
        tx.statistics.save_stockouts(stockouts)
        # Imported products have no stock events, so their stockouts begin here.
        tx.statistics.begin_stockouts(pending.products, self._clock.now())
        return FoldResult(found.last - after, len(pending.products) + len(pending.orders))

    def catch_up(self, limit: int = 2_000) -> None:
        """Fold until nothing is left."""
        while self.fold(limit).is_full(limit):
            pass

    @retry_on(TransactionAborted, ConnectionLost)
    def rebuild(self, seller_id: AccountId | None = None) -> None:
        """Recompute the sales in all rollups, or in one seller's, from orders and refunds, and the product counts from
        products.

        Orders, edits and folds may continue: folds wait, and events that were not folded yet are left out, so that they
        are added later, once. Views and stockouts have no other source and stay.
        """
        with self._store.bulk() as tx:
            tx.events.claim(STATISTICS_CONSUMER, begin=0, wait=True)
            tx.statistics.rebuild(seller_id, self._clock.now())


@frozen
class _StockChange:
    product_id: ProductId
    ran_out: bool
    at: datetime

    def apply(self, before: Stockout) -> Stockout:
        if self.ran_out:
            return before.begin(self.at)
        return before.end(self.at)


@frozen
class _Facts:
    """The facts of events and pending facts, sorted by what they change."""

    paid: Sequence[OrderId]
    refunded: Sequence[tuple[OrderId, RefundedPart]]
    products: Sequence[ProductId]
    stock_changes: Sequence[_StockChange]

    @classmethod
    def of(cls, events: Sequence[NumberedEvent], pending: PendingFacts) -> "_Facts":
        paid = [order.order_id for order in pending.orders]
        refunded = [(order.order_id, part) for order in pending.orders for part in order.refunds]
        products = list(pending.products)
        stock_changes = []
        for event in events:
            payload = event.payload
            if event.topic == OrderPaid.topic:
                paid.append(payload["order_id"])
            elif event.topic == OrderRefunded.topic:
                refunded += [(payload["order_id"], part) for part in refunded_parts(payload["refunds"], event.at)]
            elif event.topic in LISTING_TOPICS:
                products.append(payload["product_id"])
            elif event.topic in {StockRanOut.topic, StockReturned.topic}:
                stock_changes.append(_StockChange(payload["product_id"], event.topic == StockRanOut.topic, event.at))
        return cls(paid, refunded, sorted(set(products)), stock_changes)

    @property
    def orders(self) -> set[OrderId]:
        return {*self.paid, *(order_id for order_id, _ in self.refunded)}

    @property
    def changed_products(self) -> set[ProductId]:
        return {change.product_id for change in self.stock_changes}

    def rollups_of(self, sold: Mapping[OrderId, Sequence[SoldLine]]) -> Rollups:
        rollups = Rollups()
        for order_id in self.paid:
            rollups.add_sale(sold[order_id])
        for order_id, part in self.refunded:
            line = next(line for line in sold[order_id] if line.product_id == part.product_id)
            rollups.add_refund(line, part)
        return rollups


def refunded_parts(refunds: Sequence[Mapping[str, int]], at: datetime) -> list[RefundedPart]:
    """The refunded units of the payload of an `OrderRefunded` event."""
    return [
        RefundedPart(ProductId(part["product_id"]), AccountId(part["seller_id"]), part["quantity"], part["amount"], at)
        for part in refunds
    ]
