"""The ledger audit: compares stock, the stock ledger and the orders. It reads whole tables."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import func, select, text

from adapters.db.queries.executor import QueryExecutor
from adapters.db.schema import stock_movements
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries import MovementTotal, StockDiscrepancy

_NO_TIMEOUT: Final = {"statement_timeout": "0"}

# One statement, hence one snapshot for all figures.
_DISCREPANCIES: Final = text(
    """
    WITH moved AS (
        SELECT product_id, sum(quantity) AS units FROM stock_movements GROUP BY product_id
    ), promised AS (
        SELECT order_lines.product_id, sum(order_lines.quantity) AS units
        FROM orders JOIN order_lines ON order_lines.order_id = orders.id
        WHERE orders.status = 'PENDING'
        GROUP BY order_lines.product_id
    ), booked AS (
        SELECT order_id, product_id,
            -coalesce(sum(quantity) FILTER (WHERE kind = 'sale'), 0) AS sold,
            coalesce(sum(quantity) FILTER (WHERE kind = 'return'), 0) AS returned
        FROM stock_movements WHERE order_id IS NOT NULL
        GROUP BY order_id, product_id
    ), restocked AS (
        SELECT order_id, position, sum(quantity) AS units FROM refunds WHERE restocked GROUP BY order_id, position
    ), settled AS (
        SELECT order_id, product_id,
            coalesce(sum(quantity) FILTER (WHERE orders.status IN ('PAID', 'REFUNDED')), 0) AS sold,
            coalesce(sum(restocked.units), 0) AS returned
        FROM orders JOIN order_lines ON order_lines.order_id = orders.id
        LEFT JOIN restocked USING (order_id, position)
        WHERE orders.status IN ('PAID', 'REFUNDED') OR restocked.units IS NOT NULL
        GROUP BY order_id, product_id
    )
    SELECT stock.product_id, checked.figure, checked.stored, checked.expected, CAST(NULL AS bigint) AS order_id
    FROM stock
    LEFT JOIN moved USING (product_id)
    LEFT JOIN promised USING (product_id)
    CROSS JOIN LATERAL (VALUES
        ('on_hand', stock.on_hand, CAST(coalesce(moved.units, 0) AS bigint)),
        ('reserved', stock.reserved, CAST(coalesce(promised.units, 0) AS bigint))
    ) AS checked(figure, stored, expected)
    WHERE checked.stored <> checked.expected
    UNION ALL
    SELECT product_id, checked.figure, checked.stored, checked.expected, order_id
    FROM booked FULL JOIN settled USING (order_id, product_id)
    CROSS JOIN LATERAL (VALUES
        ('sold', CAST(coalesce(booked.sold, 0) AS bigint), CAST(coalesce(settled.sold, 0) AS bigint)),
        ('returned', CAST(coalesce(booked.returned, 0) AS bigint), CAST(coalesce(settled.returned, 0) AS bigint))
    ) AS checked(figure, stored, expected)
    WHERE checked.stored <> checked.expected
    ORDER BY product_id, figure, order_id NULLS FIRST
    LIMIT CAST(:limit AS bigint)
    """
)
_TOTALS: Final = select(stock_movements.c.kind, func.count(), func.sum(stock_movements.c.quantity)).group_by(
    stock_movements.c.kind
)


class StockQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def stock_discrepancies(self, limit: int | None = 100) -> Sequence[StockDiscrepancy]:
        return [
            StockDiscrepancy(*row)
            for row in self._executor.fetch_with_settings(_NO_TIMEOUT, _DISCREPANCIES, {"limit": limit})
        ]

    def movement_totals(self) -> Sequence[MovementTotal]:
        totals = [
            MovementTotal(MovementKind(kind), entries, int(units))
            for kind, entries, units in self._executor.fetch_with_settings(_NO_TIMEOUT, _TOTALS)
        ]
        return sorted(totals, key=lambda total: total.kind)
