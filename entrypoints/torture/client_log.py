"""What shoppers were told, and what they do not know: the books are compared with it."""

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
class Acknowledged:
    """An order as the answer showed it; `lines` are (product, units, price) by position."""

    id: int
    buyer: int
    key: str | None
    lines: tuple[tuple[int, int, int], ...]
    total: int

    @classmethod
    def of(cls, document: Any, key: str | None) -> "Acknowledged":
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
class RefundAsked:
    order: int
    product: int
    quantity: int
    restock: bool


@define
class Feed:
    """The numbers of the events that one account was shown, and the place up to which it has read."""

    place: int = 0
    shown: list[int] = field(factory=list)


@define
class Heard:
    """Lists only grow; threads append to them. What was `sent` without a final answer may have happened or not."""

    orders: dict[int, Acknowledged] = field(factory=dict)
    keys: dict[tuple[int, str], int] = field(factory=dict)
    """The one order of each idempotency key."""
    doubtful_orders: list[tuple[int, Basket]] = field(factory=list)
    paid: set[int] = field(factory=set)
    cancelled: set[int] = field(factory=set)
    openings: dict[int, int] = field(factory=dict)
    doubtful_openings: Counter[int] = field(factory=Counter)
    """By units: products whose seller did not learn whether they are on sale."""
    adjusted: Counter[tuple[int, int]] = field(factory=Counter)
    """By (product, delta)."""
    doubtful_adjustments: Counter[tuple[int, int]] = field(factory=Counter)
    refunded: Counter[RefundAsked] = field(factory=Counter)
    doubtful_refunds: Counter[RefundAsked] = field(factory=Counter)
    endpoints: dict[int, int] = field(factory=dict)
    """Of webhooks, by the account that had them made before anything else happened to it."""
    received: Counter[str] = field(factory=Counter)
    """Webhooks by message id."""
    feeds: dict[int, Feed] = field(factory=dict)
    """By account."""
    done: Counter[str] = field(factory=Counter)
    contradictions: list[str] = field(factory=list)
    internal_errors: list[str] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock, repr=False, eq=False)

    def count(self, what: str, times: int = 1) -> None:
        with self._lock:
            self.done[what] += times

    def order(self, told: Acknowledged) -> None:
        """Note an acknowledged order, and every way in which it disagrees with what was told before."""
        with self._lock:
            known = self.orders.setdefault(told.id, told)
            if (known.buyer, known.lines, known.total) != (told.buyer, told.lines, told.total):
                self._contradict(f"order {told.id} was told as {known} and as {told}")
            if known.key != told.key:
                self._contradict(f"keys {known.key} and {told.key} made one order, {told.id}")
            if told.key is not None and self.keys.setdefault((told.buyer, told.key), told.id) != told.id:
                self._contradict(f"key {told.key} made orders {self.keys[told.buyer, told.key]} and {told.id}")

    def contradiction(self, sentence: str) -> None:
        with self._lock:
            self._contradict(sentence)

    def internal_error(self, sentence: str) -> None:
        with self._lock:
            self.internal_errors.append(sentence)

    def adjustment(self, product: int, delta: int, *, known: bool) -> None:
        with self._lock:
            (self.adjusted if known else self.doubtful_adjustments)[product, delta] += 1

    def refund(self, asked: Sequence[RefundAsked], *, known: bool) -> None:
        with self._lock:
            (self.refunded if known else self.doubtful_refunds).update(asked)

    def _contradict(self, sentence: str) -> None:
        self.contradictions.append(sentence)


def basket(lines: Sequence[tuple[int, int]]) -> Basket:
    summed: Counter[int] = Counter()
    for product, units in lines:
        summed[product] += units
    return tuple(sorted(summed.items()))
