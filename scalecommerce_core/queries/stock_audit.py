"""Views and queries of the ledger audit: stock compared with the stock ledger and the orders."""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.stock import MovementKind


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


class StockQueries(Protocol):
    def stock_discrepancies(self, limit: int | None = 100) -> Sequence[StockDiscrepancy]:
        """Return the first `limit` discrepancies (None: all) in the order of product ids, from one snapshot."""
        ...

    def movement_totals(self) -> Sequence[MovementTotal]:
        """Return the number of ledger entries and their units for each kind of movement."""
        ...
