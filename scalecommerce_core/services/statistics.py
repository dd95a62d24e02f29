"""Statistics: folds what happened into rollups, each fact once, and makes them anew from the facts on request.

The fold is a consumer of the event log. Its place in the log, what is owed for facts that came without events, and the
rollups change in one transaction: killed anywhere it has done nothing, and what is delivered again is not read again.
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


@frozen
class FoldResult:
    """How many events, and facts without events, were counted in."""

    events: int = 0
    pending: int = 0

    def is_full(self, limit: int) -> bool:
        """Whether there may be more."""
        return max(self.events, self.pending) >= limit


class Statistics:
    """Any number of processes may fold: one does at a time, the others find nothing to do."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @retry_on(TransactionAborted, ConnectionLost)
    def fold(self, limit: int = 2_000) -> FoldResult:
        """Count in up to `limit` numbered events, and as much of what is owed. Nothing while another does it.

        Makes everything anew instead where that is owed: after an upgrade from a release without statistics.
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
        events = tx.events.read_after(after, limit)
        owed = tx.statistics.take_pending_facts(limit)
        if events:
            tx.events.advance(STATISTICS_CONSUMER, events[-1].seq)
        facts = _Facts.of(events, owed)
        # In the order in which whoever adds views takes the same rows.
        tx.statistics.recount_products(facts.shelved)
        tx.statistics.add(facts.added_up(tx.statistics.sold_lines(facts.orders)))
        outages = dict(tx.statistics.stockouts(facts.turned))
        for turn in facts.turns:
            outages[turn.product_id] = turn.after(outages.get(turn.product_id, Stockout()))
        tx.statistics.save_stockouts(outages)
        # Products of the past tell nothing of their stock: their time out of stock begins to count here.
        tx.statistics.begin_stockouts(owed.products, self._clock.now())
        return FoldResult(len(events), len(owed.products) + len(owed.orders))

    def catch_up(self, limit: int = 2_000) -> None:
        """Count in all that can be."""
        while self.fold(limit).is_full(limit):
            pass

    @retry_on(TransactionAborted, ConnectionLost)
    def rebuild(self, seller_id: AccountId | None = None) -> None:
        """Make the sales in all rollups, or in one seller's, anew from orders and refunds, and shelves from products.

        It may run beside everything else: whoever folds waits, and what is not folded yet is left out, so that it is
        counted in afterwards and once. Views, and time out of stock, have no other source: they stay.
        """
        with self._store.bulk() as tx:
            tx.events.claim(STATISTICS_CONSUMER, begin=0, wait=True)
            tx.statistics.rebuild(seller_id, self._clock.now())


@frozen
class _Turn:
    product_id: ProductId
    ran_out: bool
    at: datetime

    def after(self, before: Stockout) -> Stockout:
        if self.ran_out:
            return before.begin(self.at)
        return before.end(self.at)


@frozen
class _Facts:
    """What is to be counted in, taken out of events and debts."""

    paid: Sequence[OrderId]
    refunded: Sequence[tuple[OrderId, RefundedPart]]
    shelved: Sequence[ProductId]
    turns: Sequence[_Turn]

    @classmethod
    def of(cls, events: Sequence[NumberedEvent], owed: PendingFacts) -> "_Facts":
        paid = [order.order_id for order in owed.orders]
        refunded = [(order.order_id, part) for order in owed.orders for part in order.refunds]
        shelved = list(owed.products)
        turns = []
        for event in events:
            told = event.payload
            if event.topic == OrderPaid.topic:
                paid.append(told["order_id"])
            elif event.topic == OrderRefunded.topic:
                refunded += [(told["order_id"], part) for part in refunded_parts(told["refunds"], event.at)]
            elif event.topic in LISTING_TOPICS:
                shelved.append(told["product_id"])
            elif event.topic in {StockRanOut.topic, StockReturned.topic}:
                turns.append(_Turn(told["product_id"], event.topic == StockRanOut.topic, event.at))
        return cls(paid, refunded, sorted(set(shelved)), turns)

    @property
    def orders(self) -> set[OrderId]:
        return {*self.paid, *(order_id for order_id, _ in self.refunded)}

    @property
    def turned(self) -> set[ProductId]:
        return {turn.product_id for turn in self.turns}

    def added_up(self, sold: Mapping[OrderId, Sequence[SoldLine]]) -> Rollups:
        rollups = Rollups()
        for order_id in self.paid:
            rollups.add_sale(sold[order_id])
        for order_id, part in self.refunded:
            line = next(line for line in sold[order_id] if line.product_id == part.product_id)
            rollups.add_refund(line, part)
        return rollups


def refunded_parts(refunds: Sequence[Mapping[str, int]], at: datetime) -> list[RefundedPart]:
    """Out of the payload of `OrderRefunded`."""
    return [
        RefundedPart(ProductId(part["product_id"]), AccountId(part["seller_id"]), part["quantity"], part["amount"], at)
        for part in refunds
    ]
