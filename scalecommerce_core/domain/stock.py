"""Stock: units on hand, units reserved, and a ledger of all movements."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen

from scalecommerce_core.domain.errors import InsufficientStock, Invalid, LedgerInconsistent, StockMoved
from scalecommerce_core.domain.identifiers import OrderId, ProductId

MAX_STOCK: Final = 2_147_483_647
"""Most units on hand of a product."""


class MovementKind(StrEnum):
    """Reason of a movement: units came in (+) or went out (-)."""

    OPENING = "opening"
    ADJUSTMENT = "adjustment"
    SALE = "sale"
    RETURN = "return"
    CORRECTION = "correction"
    """The ledger differed from the units on hand for an unknown reason."""


@frozen
class StockMovement:
    """An entry of the append-only ledger: `on_hand` is the sum of a product's `quantity`."""

    product_id: ProductId
    quantity: int
    kind: MovementKind
    at: datetime
    order_id: OrderId | None = None


@define
class Stock:
    """Stock of a product: `0 <= reserved <= on_hand`; the difference is available."""

    product_id: Final[ProductId]
    on_hand: int = 0
    reserved: int = 0
    movements: list[StockMovement] = field(factory=list, eq=False, repr=False)

    @classmethod
    def opened(cls, product_id: ProductId, quantity: int, now: datetime) -> "Stock":
        """The stock of a new product; the first ledger entry is the opening balance."""
        stock = cls(product_id)
        if quantity:
            stock._move(quantity, MovementKind.OPENING, now)
        return stock

    @property
    def available(self) -> int:
        """Units on hand that are not reserved."""
        return self.on_hand - self.reserved

    @property
    def capacity_left(self) -> int:
        """How many more units can be stored."""
        return MAX_STOCK - self.on_hand

    def reserve(self, quantity: int) -> None:
        """Reserve units for an order; raise `InsufficientStock`."""
        _check_units(quantity)
        if quantity > self.available:
            raise InsufficientStock(self.product_id, quantity, self.available)
        self.reserved += quantity

    def release(self, quantity: int) -> None:
        """Release reserved units; raise `LedgerInconsistent` if fewer are reserved."""
        _check_units(quantity)
        if quantity > self.reserved:
            raise LedgerInconsistent(
                f"Product {self.product_id}: {quantity} units to release, {self.reserved} reserved."
            )
        self.reserved -= quantity

    def sell(self, quantity: int, order_id: OrderId, now: datetime) -> None:
        """Turn a reservation into a sale."""
        self.release(quantity)
        self._move(-quantity, MovementKind.SALE, now, order_id)

    def restock_units(self, quantity: int, order_id: OrderId, now: datetime) -> None:
        """Put units of a refunded line back into stock."""
        _check_units(quantity)
        self._move(quantity, MovementKind.RETURN, now, order_id)

    def adjust(self, delta: int, now: datetime) -> None:
        """Add units, or take available ones (negative `delta`); raise `Invalid` beyond the limits."""
        if delta < -self.available:
            raise Invalid.field("delta", f"Only {self.available} units can be taken away: the others are reserved.")
        if delta:
            self._move(delta, MovementKind.ADJUSTMENT, now)

    def set_available(self, quantity: int, now: datetime, *, expected: int | None = None) -> None:
        """Set the available units; with `expected`, only if they were that before (else raise `StockMoved`)."""
        if expected is not None and expected != self.available:
            raise StockMoved(self.product_id, expected, self.available)
        self.check_available(quantity)
        self.adjust(quantity - self.available, now)

    def check_available(self, quantity: int) -> None:
        """Raise `Invalid` unless the available units can become `quantity`."""
        if not 0 <= quantity <= MAX_STOCK - self.reserved:
            raise Invalid.field("stock", f"Stock lies between 0 and {MAX_STOCK - self.reserved}.")

    def reconcile(self, moved: int, promised: int, now: datetime) -> None:
        """Correct the figures: `moved` is the sum of the ledger, `promised` the units in the lines of PENDING orders.

        The units on hand stay, and a CORRECTION is added to the ledger. `reserved` becomes `promised`, unless more is
        promised than is on hand: then a person has to bring stock or cancel orders.
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
    # Negative units would turn a reservation into stock. Callers have validated user input, so this is a bug.
    if quantity < 1:
        raise ValueError(f"quantity must be at least 1, not {quantity}")
