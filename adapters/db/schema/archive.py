"""The archive of settled orders: a table for each table that grows with orders, with the same columns.

Its tables have fewer indexes and no foreign keys: their rows were checked when they were written to the hot tables, and
only `repositories/order_archive.py` moves rows here and back. A read that must find every order selects from
`all_orders`, `all_order_lines` or `all_rows_of`, which have the columns of the hot tables.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    FromClause,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    Subquery,
    Table,
    false,
    select,
    text,
    true,
    union_all,
)

from adapters.db.schema.metadata import currency_column, metadata
from adapters.db.schema.orders import order_lines, orders, refunds
from adapters.db.schema.payments import payment_refunds, payments
from adapters.db.schema.stock import stock_movements
from scalecommerce_core.domain.order import SETTLED


def _columns_of(hot: Table) -> list[Column[Any]]:
    return [Column(column.name, column.type, nullable=column.nullable, autoincrement=False) for column in hot.c]


_SETTLED: Final = ", ".join(f"'{status}'" for status in sorted(SETTLED))

archived_orders: Final = Table(
    "archived_orders",
    metadata,
    *_columns_of(orders),
    # A hash of the order and of all its rows in the archive (`order_archive.checksum_sql`).
    Column("checksum", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    # Lets the planner leave the archive out of queries for open orders.
    CheckConstraint(f"status IN ({_SETTLED})", name="settled"),
    Index("archived_orders_buyer_id_id_idx", "buyer_id", "id"),
    Index("archived_orders_created_at_id_idx", "created_at", "id"),
    # Most orders are PAID: a list of these reads the primary key.
    Index("archived_orders_status_id_idx", "status", "id", postgresql_where=text("status <> 'PAID'")),
    # An import skips the orders that were imported before.
    Index("archived_orders_command_id_idx", "command_id", postgresql_where=text("origin <> 'api'")),
)

archived_order_lines: Final = Table(
    "archived_order_lines",
    metadata,
    *_columns_of(order_lines),
    PrimaryKeyConstraint("order_id", "position"),
    Index("archived_order_lines_sales_idx", "seller_id", "order_id", "position"),
    Index("archived_order_lines_product_id_idx", "product_id", "order_id"),
)

archived_refunds: Final = Table(
    "archived_refunds",
    metadata,
    *_columns_of(refunds),
    Index("archived_refunds_order_id_idx", "order_id"),
)

archived_payments: Final = Table(
    "archived_payments",
    metadata,
    *_columns_of(payments),
    Index("archived_payments_order_id_idx", "order_id"),
)

archived_payment_refunds: Final = Table(
    "archived_payment_refunds",
    metadata,
    *_columns_of(payment_refunds),
    Index("archived_payment_refunds_payment_id_idx", "payment_id"),
)

archived_stock_movements: Final = Table(
    "archived_stock_movements",
    metadata,
    *_columns_of(stock_movements),
    Index("archived_stock_movements_order_id_idx", "order_id"),
)

# The opening balance of the hot ledger: the sum of a product's archived movements.
archived_stock: Final = Table(
    "archived_stock",
    metadata,
    Column("product_id", BigInteger, primary_key=True, autoincrement=False),
    Column("units", BigInteger, nullable=False),
    postgresql_with={"fillfactor": "50"},
)

# Sums of the archive, by the month in which the orders were placed (UTC). Units and amounts are those of paid orders.
archived_months: Final = Table(
    "archived_months",
    metadata,
    Column("month", Date, nullable=False),
    currency_column(),
    Column("orders", BigInteger, nullable=False),
    Column("units", Numeric, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("refunded_units", Numeric, nullable=False),
    Column("refunded_amount", Numeric, nullable=False),
    # The sum of the orders' checksums.
    Column("checksum", Numeric, nullable=False),
    PrimaryKeyConstraint("month", "currency"),
    postgresql_with={"fillfactor": "50"},
)

ARCHIVED: Final = {
    payment_refunds: archived_payment_refunds,
    payments: archived_payments,
    stock_movements: archived_stock_movements,
    refunds: archived_refunds,
    order_lines: archived_order_lines,
    orders: archived_orders,
}
"""The table of the archive for each hot table, in an order in which hot rows can be deleted."""


def _all(hot: Table) -> Subquery:
    archive = ARCHIVED[hot]
    return union_all(
        select(*hot.c, false().label("is_archived")),
        select(*(archive.c[column.name] for column in hot.c), true().label("is_archived")),
    ).subquery(hot.name)


all_orders: Final = _all(orders)
all_order_lines: Final = _all(order_lines)


def lines_of(chosen: FromClause) -> FromClause:
    """Return a LATERAL subquery with the lines of each row of `chosen`, for a join ON true.

    `chosen` must have the columns `id` and `is_archived` of `all_orders`. Only the table that holds the order is read;
    a join with `all_order_lines` would search the indexes of both.
    """
    return union_all(
        *(
            select(*lines.c).where(is_in_table, lines.c.order_id == chosen.c.id).correlate(chosen)
            for lines, is_in_table in (
                (order_lines, ~chosen.c.is_archived),
                (archived_order_lines, chosen.c.is_archived),
            )
        )
    ).lateral(order_lines.name)


def all_rows_of(hot: Table) -> str:
    """Return the hot and the archived rows as an item of FROM, with the name of the hot table."""
    columns = ", ".join(column.name for column in hot.c)
    return f"(SELECT {columns} FROM {hot.name} UNION ALL SELECT {columns} FROM {ARCHIVED[hot].name}) AS {hot.name}"  # noqa: S608 - names of tables and columns
