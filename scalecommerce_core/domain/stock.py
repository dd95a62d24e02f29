"""Stock: what is on hand, what of it is reserved, and a ledger of every unit that came or went."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen, setters

from scalecommerce_core.domain.errors import InsufficientStock, Invalid, LedgerInconsistent, StockMoved
from scalecommerce_core.domain.identifiers import OrderId, ProductId

MAX_STOCK: Final = 2_147_483_647


class MovementKind(StrEnum):
    """Why units came (+) or went (-)."""

    OPENING = "opening"
    ADJUSTMENT = "adjustment"
    SALE = "sale"
    RETURN = "return"
    CORRECTION = "correction"
    """The ledger was found to differ from the stock on hand, nobody knows why."""


@frozen
class StockMovement:
    """One entry of the append-only ledger: `on_hand` is the sum of a product's `quantity`."""

    product_id: ProductId
    quantity: int
    kind: MovementKind
    at: datetime
    order_id: OrderId | None = None


@define
class Stock:
    """`0 <= reserved <= on_hand`; what can be promised is the difference."""

    product_id: ProductId = field(on_setattr=setters.frozen)
    on_hand: int = 0
    reserved: int = 0
    movements: list[StockMovement] = field(factory=list, eq=False, repr=False)

    @classmethod
    def opened(cls, product_id: ProductId, quantity: int, now: datetime) -> "Stock":
        """A new product's stock; its first entry is the opening balance."""
        stock = cls(product_id)
        if quantity:
            stock._move(quantity, MovementKind.OPENING, now)
        return stock

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    @property
    def capacity_left(self) -> int:
        """How many units can still be taken in."""
        return MAX_STOCK - self.on_hand

    def reserve(self, quantity: int) -> None:
        """Promise units to an order; raise `InsufficientStock`."""
        _check_units(quantity)
        if quantity > self.available:
            raise InsufficientStock(self.product_id, quantity, self.available)
        self.reserved += quantity

    def release(self, quantity: int) -> None:
        """Give a reservation back; raise `LedgerInconsistent` when there was none."""
        _check_units(quantity)
        if quantity > self.reserved:
            raise LedgerInconsistent(f"Product {self.product_id}: {quantity} of {self.reserved} reserved units.")
        self.reserved -= quantity

    def sell(self, quantity: int, order_id: OrderId, now: datetime) -> None:
        """Turn a reservation into a sale."""
        self.release(quantity)
        self._move(-quantity, MovementKind.SALE, now, order_id)

    def restock_units(self, quantity: int, order_id: OrderId, now: datetime) -> None:
        """Restock units of a refunded line."""
        _check_units(quantity)
        self._move(quantity, MovementKind.RETURN, now, order_id)

    def adjust(self, delta: int, now: datetime) -> None:
        """Add or take units; raise `Invalid` when reserved units would be taken or the bound is passed."""
        if delta < -self.available:
            raise Invalid.field("delta", f"Only {self.available} units can be taken: the others are reserved or gone.")
        if delta:
            self._move(delta, MovementKind.ADJUSTMENT, now)

    def set_available(self, quantity: int, now: datetime, *, expected: int | None = None) -> None:
        """Make `available` this figure; with `expected`, only if it was that before (else `StockMoved`)."""
        if expected is not None and expected != self.available:
            raise StockMoved(self.product_id, expected, self.available)
        self.check_available(quantity)
        self.adjust(quantity - self.available, now)

    def check_available(self, quantity: int) -> None:
        """Raise `Invalid` when `available` cannot become this figure."""
        if not 0 <= quantity <= MAX_STOCK - self.reserved:
            raise Invalid.field("stock", f"Stock lies between 0 and {MAX_STOCK - self.reserved}.")

    def reconcile(self, moved: int, promised: int, now: datetime) -> None:
        """Make the figures agree with their sources: the sum of the ledger, and the lines of PENDING orders.

        What is on hand stays: the shop works with it, and a correction tells the ledger. More than is on hand cannot be
        reserved, so `reserved` stays too when the orders were promised more: somebody has to bring stock, or cancel.
        """
        if difference := self.on_hand - moved:
            self.movements.append(StockMovement(self.product_id, difference, MovementKind.CORRECTION, now))
        if promised <= self.on_hand:
            self.reserved = promised

    def _move(self, quantity: int, kind: MovementKind, now: datetime, order_id: OrderId | None = None) -> None:
        if quantity > self.capacity_left:
            raise Invalid.field("stock", f"Stock lies between 0 and {MAX_STOCK}.")
        self.on_hand += quantity
        self.movements.append(StockMovement(self.product_id, quantity, kind, now, order_id))


def _check_units(quantity: int) -> None:
    # Negative units would turn a reservation into stock that nobody brought; callers have checked what users sent.
    if quantity < 1:
        raise ValueError(f"at least one unit is moved, not {quantity}")
