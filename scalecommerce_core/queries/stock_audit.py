"""Views and queries of the stock ledger, and of its audit: stock compared with the ledger and the orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import evolve, frozen

from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries.pagination import Page, PageRequest


@frozen
class StockDiscrepancy:
    """A stored figure that differs from the value computed from its source.

    `on_hand` of a product is computed from the stock ledger, `reserved` from the lines of PENDING orders. `sold` and
    `returned`, of one order in the ledger, are computed from its paid lines and its restocking refunds.
    """

    product_id: ProductId
    figure: str
    stored: int
    expected: int
    order_id: OrderId | None = None


@frozen
class MovementTotal:
    kind: MovementKind
    entries: int
    units: int


@frozen
class StockMovementView:
    """An entry of the stock ledger of a product; `on_hand` are the units on hand after it."""

    id: int
    quantity: int
    kind: MovementKind
    order: OrderId | None
    on_hand: int
    at: datetime


def with_balances(
    movements: Sequence[StockMovementView], on_hand: int, *, newest_first: bool
) -> Sequence[StockMovementView]:
    """The movements with their `on_hand`, nearest to the cursor first.

    `on_hand` are the units after the first movement if they are `newest_first`, else the units before it.
    """
    balanced = []
    for movement in movements:
        if not newest_first:
            on_hand += movement.quantity
        balanced.append(evolve(movement, on_hand=on_hand))
        if newest_first:
            on_hand -= movement.quantity
    return balanced


class StockQueries(Protocol):
    def stock_movements(self, product_id: ProductId, page: PageRequest) -> Page[StockMovementView]:
        """Return the ledger of a product, newest first; empty for an unknown product."""
        ...

    def stock_discrepancies(self, limit: int | None = 100) -> Sequence[StockDiscrepancy]:
        """Return the first `limit` discrepancies (None: all) in the order of product ids, from one snapshot."""
        ...

    def movement_totals(self) -> Sequence[MovementTotal]:
        """Return the number of ledger entries, archived ones included, and their units for each kind of movement.

        The units of all kinds add up to the stock on hand.
        """
        ...
