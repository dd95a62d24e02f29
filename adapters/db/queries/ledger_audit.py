"""The stock ledger of a product, and the ledger audit, which compares stock, ledger and orders and reads whole
tables.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, bindparam, select, text

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page, decode_key, page_direction, page_statements
from adapters.db.schema import stock, stock_movements
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries import MovementTotal, Page, PageRequest, StockDiscrepancy, StockMovementView
from scalecommerce_core.queries.stock_audit import with_balances

_NO_TIMEOUT: Final = {"statement_timeout": "0"}

# One statement, hence one snapshot for all figures. Orders and movements are the hot ones; `queries/archive.py` audits
# the archived ones.
_DISCREPANCIES: Final = text(
    """
    WITH moved AS (
        SELECT product_id, sum(units) AS units FROM (
            SELECT product_id, sum(quantity) AS units FROM stock_movements GROUP BY product_id
            UNION ALL SELECT product_id, units FROM archived_stock
        ) AS summed GROUP BY product_id
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
# The archived movements too, so that the totals add up to the stock on hand.
_TOTALS: Final = text(
    """
    SELECT kind, sum(entries), sum(units) FROM (
        SELECT kind, count(*) AS entries, sum(quantity) AS units FROM stock_movements GROUP BY kind
        UNION ALL
        SELECT kind, count(*), sum(quantity) FROM archived_stock_movements GROUP BY kind
    ) AS summed
    GROUP BY kind
    """
)


# With the units on hand, of the same snapshot.
_MOVEMENTS: Final = (
    select(
        stock_movements.c.id,
        stock_movements.c.quantity,
        stock_movements.c.kind,
        stock_movements.c.order_id,
        stock.c.on_hand,
        stock_movements.c.occurred_at,
    )
    .join(stock, stock.c.product_id == stock_movements.c.product_id)
    .where(stock_movements.c.product_id == bindparam("product", type_=BigInteger))
)
_NEWEST_FIRST: Final = Keyset((stock_movements.c.id,), descending=True)
_PAGES: Final = page_statements(lambda request: _NEWEST_FIRST.page_statement(_MOVEMENTS, request))


class StockQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor

    def stock_movements(self, product_id: ProductId, page: PageRequest) -> Page[StockMovementView]:
        # Keys hold the units on hand and the quantity besides the id, so that a page needs no movements before it.
        cursor = page.after if page.before is None else page.before
        id_, after, quantity = (None, 0, 0) if cursor is None else decode_key(cursor, (int, int, int))
        own = PageRequest(page.size, *(None if key is None else (id_,) for key in (page.after, page.before)))
        parameters = {"product": product_id, **_NEWEST_FIRST.page_params(own)}
        rows = self._executor.fetch(_PAGES[page_direction(page)], parameters)
        found = [
            StockMovementView(row.id, row.quantity, MovementKind(row.kind), row.order_id, row.on_hand, row.occurred_at)
            for row in rows
        ]
        if page.before is not None:
            found = list(with_balances(found, after, newest_first=False))
        elif found:
            on_hand = found[0].on_hand if cursor is None else after - quantity
            found = list(with_balances(found, on_hand, newest_first=True))
        return build_page(found, page, lambda view: view, lambda view: (view.id, view.on_hand, view.quantity))

    def stock_discrepancies(self, limit: int | None = 100) -> Sequence[StockDiscrepancy]:
        return [
            StockDiscrepancy(*row)
            for row in self._executor.fetch_with_settings(_NO_TIMEOUT, _DISCREPANCIES, {"limit": limit})
        ]

    def movement_totals(self) -> Sequence[MovementTotal]:
        totals = [
            MovementTotal(MovementKind(kind), int(entries), int(units))
            for kind, entries, units in self._executor.fetch_with_settings(_NO_TIMEOUT, _TOTALS)
        ]
        return sorted(totals, key=lambda total: total.kind)
