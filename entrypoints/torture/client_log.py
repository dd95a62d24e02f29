"""The answers that shoppers got, and the requests without an answer; the database is compared with both."""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field, frozen

from scalecommerce_core.domain.money import minor_units

CURRENCY: Final = "USD"
"""Currency of the market under test."""

Basket = tuple[tuple[int, int], ...]
"""(product, units), by product."""


@frozen
class AcknowledgedOrder:
    """An order as the API returned it; `lines` are (product, units, price in minor units) by position."""

    id: int
    buyer: int
    key: str | None
    lines: tuple[tuple[int, int, int], ...]
    total: int

    @classmethod
    def of(cls, document: Any, key: str | None) -> "AcknowledgedOrder":
        return cls(
            id=document["id"],
            buyer=document["user"],
            key=key,
            lines=tuple(
                (item["product"], item["quantity"], minor_units(item["price"], CURRENCY))
                for item in document["order_items"]
            ),
            total=minor_units(document["total_amount"], CURRENCY),
        )


@frozen
class RequestedRefund:
    order: int
    product: int
    quantity: int
    restock: bool


@define
class FeedReader:
    """The numbers of the events that one account has received, and the position up to which it has read."""

    position: int = 0
    received: list[int] = field(factory=list)


@define
class ClientLog:
    """A thread-safe log that only grows. Entries in `unconfirmed_*` had no final answer: they may have taken effect."""

    orders: dict[int, AcknowledgedOrder] = field(factory=dict)
    keys: dict[tuple[int, str], int] = field(factory=dict)
    """The order of each (buyer, idempotency key)."""
    unconfirmed_orders: list[tuple[int, Basket]] = field(factory=list)
    paid: set[int] = field(factory=set)
    cancelled: set[int] = field(factory=set)
    opening_stock: dict[int, int] = field(factory=dict)
    unconfirmed_opening_stock: Counter[int] = field(factory=Counter)
    """By opening stock: products whose listing had no final answer."""
    adjusted: Counter[tuple[int, int]] = field(factory=Counter)
    """By (product, delta)."""
    unconfirmed_adjustments: Counter[tuple[int, int]] = field(factory=Counter)
    refunded: Counter[RequestedRefund] = field(factory=Counter)
    unconfirmed_refunds: Counter[RequestedRefund] = field(factory=Counter)
    endpoints: dict[int, int] = field(factory=dict)
    """Webhook endpoints by account; created before any event of the account."""
    received: Counter[str] = field(factory=Counter)
    """Webhooks by message id."""
    feeds: dict[int, FeedReader] = field(factory=dict)
    """By account."""
    done: Counter[str] = field(factory=Counter)
    contradictions: list[str] = field(factory=list)
    internal_errors: list[str] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock, repr=False, eq=False)

    def count(self, what: str, times: int = 1) -> None:
        with self._lock:
            self.done[what] += times

    def record_order(self, order: AcknowledgedOrder) -> None:
        """Record an acknowledged order, and every contradiction to earlier answers."""
        with self._lock:
            known = self.orders.setdefault(order.id, order)
            if (known.buyer, known.lines, known.total) != (order.buyer, order.lines, order.total):
                self._contradict(f"order {order.id} was returned as {known} and as {order}")
            if known.key != order.key:
                self._contradict(f"keys {known.key} and {order.key} made one order, {order.id}")
            if order.key is not None and self.keys.setdefault((order.buyer, order.key), order.id) != order.id:
                self._contradict(f"key {order.key} made orders {self.keys[order.buyer, order.key]} and {order.id}")

    def record_contradiction(self, sentence: str) -> None:
        with self._lock:
            self._contradict(sentence)

    def record_internal_error(self, sentence: str) -> None:
        with self._lock:
            self.internal_errors.append(sentence)

    def record_adjustment(self, product: int, delta: int, *, known: bool) -> None:
        with self._lock:
            (self.adjusted if known else self.unconfirmed_adjustments)[product, delta] += 1

    def record_refund(self, refunds: Sequence[RequestedRefund], *, known: bool) -> None:
        with self._lock:
            (self.refunded if known else self.unconfirmed_refunds).update(refunds)

    def _contradict(self, sentence: str) -> None:
        self.contradictions.append(sentence)


def basket(lines: Sequence[tuple[int, int]]) -> Basket:
    summed: Counter[int] = Counter()
    for product, units in lines:
        summed[product] += units
    return tuple(sorted(summed.items()))
