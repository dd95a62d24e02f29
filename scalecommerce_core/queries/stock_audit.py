"""Comparing stock with its ledger."""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.stock import MovementKind


@frozen
class StockDiscrepancy:
    """A figure that differs from its source.

    `on_hand` of a product from its ledger, `reserved` from the lines of PENDING orders; `sold` and `returned` in the
    ledger, for one order, from the line that was paid and the refunds that put units back.
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
        """The first of them (None: all), by product, all as of one moment."""
        ...

    def movement_totals(self) -> Sequence[MovementTotal]: ...
