"""Moves settled orders between the hot tables and the archive, in the transaction of the caller.

One transaction moves all rows of an order, so every snapshot has each order exactly once, and a crash leaves it where
it was. The totals of the archive (`archived_months`, `archived_stock`) change in the same transaction.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import Table, TextClause, bindparam, select, text

from adapters.db.core.bulk_statements import equals_any, id_array
from adapters.db.core.session import SqlSession
from adapters.db.schema import ARCHIVED, Moment, all_orders
from adapters.db.schema.orders import order_lines, orders, refunds
from adapters.db.schema.payments import payment_refunds, payments
from adapters.db.schema.stock import stock_movements
from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.order import SETTLED

# The range of `created_at` bounds the search along its index: it has only orders that wait for being archived, and the
# few old ones that cannot be.
_CLAIM: Final = text(
    f"""
    SELECT id FROM orders
    WHERE created_at < :before AND updated_at < :before
        AND status IN ({", ".join(f"'{status}'" for status in sorted(SETTLED))})
        AND NOT EXISTS (
            SELECT FROM payments WHERE order_id = orders.id AND (payments.status = 'OPEN' OR check_at IS NOT NULL)
        )
        AND NOT EXISTS (
            SELECT FROM payments JOIN payment_refunds ON payment_id = payments.id
            WHERE order_id = orders.id AND payment_refunds.status = 'OPEN'
        )
    ORDER BY created_at, id LIMIT :limit
    FOR UPDATE SKIP LOCKED
    """  # noqa: S608 - constants
).bindparams(bindparam("before", type_=Moment))
# A late charge may have been recorded between the snapshot of the claim and its locks; under the locks, none can be.
_RECHECK: Final = text(
    """
    SELECT id FROM unnest(CAST(:ids AS bigint[])) AS claimed(id)
    WHERE NOT EXISTS (
        SELECT FROM payments LEFT JOIN payment_refunds ON payment_id = payments.id
        WHERE order_id = claimed.id
            AND (payments.status = 'OPEN' OR check_at IS NOT NULL OR payment_refunds.status = 'OPEN')
    )
    """
)
# In one snapshot, which has an order that is being moved exactly once.
_EXISTING: Final = select(all_orders.c.id).where(equals_any(all_orders.c.id)).limit(1)


def _columns(table: Table) -> str:
    return ", ".join(column.name for column in table.c)


CHECKSUM_COLUMNS: Final = {
    order_lines: ("order_id", "position", "product_id", "seller_id", "quantity", "price", "refunded"),
    payments: (
        "id", "order_id", "amount", "currency", "method", "created_at", "deadline", "status", "updated_at", "check_at",
        "checks", "reference", "reason", "refunded", "trouble",
    ),
}  # fmt: skip
"""The order of columns in checksums: that of the tables before migration 0074, by which existing ones were computed."""


def _hash(table: Table, name: str) -> str:
    columns = CHECKSUM_COLUMNS.get(table) or tuple(column.name for column in table.c)
    # By the values, so it does not depend on settings of the session that format times.
    return f"hash_record_extended(ROW({', '.join(f'{name}.{column}' for column in columns)}), 0)"


def checksum_sql(of: dict[Table, str]) -> str:
    """Return a hash of an order and all its rows as an expression; `of` has the names of the tables to read.

    The hash functions of PostgreSQL are those of hash partitioning, so they stay as they are in new releases.
    """

    def summed(table: Table, condition: str, joined: str = "") -> str:
        return (
            f"(SELECT coalesce(sum({_hash(table, 'part')}), 0) FROM {of[table]} AS part{joined}"  # noqa: S608 - names of tables and columns
            f" WHERE {condition} = {of[orders]}.id)"
        )

    own = ", ".join(f"{of[orders]}.{column.name}" for column in orders.c)
    of_payments = f" JOIN {of[payments]} AS paid ON paid.id = part.payment_id"
    parts = (
        *(summed(table, "part.order_id") for table in (order_lines, refunds, payments, stock_movements)),
        summed(payment_refunds, "paid.order_id", of_payments),
    )
    return f"hash_record_extended(ROW({own}, {', '.join(parts)}), 0)"


HOT: Final = {table: table.name for table in ARCHIVED}
ARCHIVE: Final = {table: archive.name for table, archive in ARCHIVED.items()}


def _move(table: Table, source: dict[Table, str], target: dict[Table, str]) -> TextClause:
    """Move the rows of the given orders from one of two equal tables to the other."""
    if table is payment_refunds:
        # Its foreign key needs hot payments: they leave after it, and return before it.
        chosen = f"USING {HOT[payments]} AS paid WHERE paid.id = moved.payment_id AND paid.order_id"
    else:
        chosen = "WHERE moved.order_id"
    columns = _columns(table)
    returned = ", ".join(f"moved.{column.name}" for column in table.c)
    return text(
        f"""
        WITH moved AS (
            DELETE FROM {source[table]} AS moved {chosen} = ANY (CAST(:ids AS bigint[])) RETURNING {returned}
        )
        INSERT INTO {target[table]} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM moved
        """  # noqa: S608 - names of tables and columns
    )


_GIVEN: Final = "id = ANY (CAST(:ids AS bigint[]))"
_PARTS: Final = tuple(table for table in ARCHIVED if table is not orders)
_ARCHIVE: Final = (
    text(
        f"""
        INSERT INTO archived_orders ({_columns(orders)}, checksum)
        SELECT {_columns(orders)}, {checksum_sql(HOT)} FROM orders WHERE {_GIVEN} ORDER BY id
        """  # noqa: S608 - names of tables and columns
    ),
    *(_move(table, HOT, ARCHIVE) for table in _PARTS),
    text(f"DELETE FROM orders WHERE {_GIVEN}"),  # noqa: S608 - a constant
)
_RESTORE: Final = (
    text(
        f"INSERT INTO orders ({_columns(orders)}) SELECT {_columns(orders)} FROM archived_orders WHERE {_GIVEN}"  # noqa: S608 - names of columns
    ),
    *(_move(table, ARCHIVE, HOT) for table in reversed(_PARTS)),
    text(f"DELETE FROM archived_orders WHERE {_GIVEN}"),  # noqa: S608 - a constant
)

MONTHS: Final = """
    SELECT CAST(date_trunc('month', archived_orders.created_at, 'UTC') AS date) AS month, currency,
        count(*) AS orders, coalesce(sum(sold.units), 0) AS units, coalesce(sum(sold.amount), 0) AS amount,
        coalesce(sum(sent.units), 0) AS refunded_units, coalesce(sum(sent.amount), 0) AS refunded_amount,
        sum(CAST(checksum AS numeric)) AS checksum
    FROM archived_orders
    CROSS JOIN LATERAL (
        SELECT sum(CAST(quantity AS numeric)) AS units, sum(CAST(quantity AS numeric) * price) AS amount
        FROM archived_order_lines
        WHERE order_id = archived_orders.id AND archived_orders.status IN ('PAID', 'REFUNDED')
    ) AS sold
    CROSS JOIN LATERAL (
        SELECT sum(CAST(quantity AS numeric)) AS units, sum(CAST(amount AS numeric)) AS amount
        FROM archived_refunds WHERE order_id = archived_orders.id
    ) AS sent
    {condition}
    GROUP BY month, currency
"""
"""The sums of archived orders, as `archived_months` has them."""
FIGURES: Final = ("orders", "units", "amount", "refunded_units", "refunded_amount", "checksum")


def _add_totals(sign: str) -> tuple[TextClause, TextClause]:
    """Add the totals of the given archived orders (`sign` "+"), or subtract them. Rows are locked in one order."""
    figures = ", ".join(f"{sign}{name}" for name in FIGURES)
    added = ", ".join(f"{name} = archived_months.{name} + excluded.{name}" for name in FIGURES)
    return (
        text(
            f"""
            INSERT INTO archived_stock (product_id, units)
            SELECT product_id, {sign}sum(quantity) FROM archived_stock_movements
            WHERE order_id = ANY (CAST(:ids AS bigint[])) GROUP BY product_id ORDER BY product_id
            ON CONFLICT (product_id) DO UPDATE SET units = archived_stock.units + excluded.units
            """  # noqa: S608 - a sign
        ),
        text(
            f"""
            INSERT INTO archived_months (month, currency, {", ".join(FIGURES)})
            SELECT month, currency, {figures} FROM ({MONTHS.format(condition=f"WHERE {_GIVEN}")}) AS moved
            ORDER BY month, currency
            ON CONFLICT (month, currency) DO UPDATE SET {added}
            """  # noqa: S608 - names of columns and a sign
        ),
    )


_ADD_TOTALS: Final = _add_totals("+")
_SUBTRACT_TOTALS: Final = _add_totals("-")


class OrderArchive:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def archive(self, limit: int, settled_before: datetime) -> int:
        """As `ports.OrderRepository.archive`."""
        while claimed := [id_ for (id_,) in self._sql.fetch_all(_CLAIM, {"limit": limit, "before": settled_before})]:
            ids = [id_ for (id_,) in self._sql.fetch_all(_RECHECK, {"ids": id_array(claimed)})]
            self._execute((*_ARCHIVE, *_ADD_TOTALS), ids)
            if ids:
                return len(ids)
            # The snapshot of the next claim leaves these orders out.
        return 0

    def restore(self, ids: Collection[OrderId]) -> None:
        """Move archived orders, which this transaction has locked, back to the hot tables."""
        self._execute((*_SUBTRACT_TOTALS, *_RESTORE), ids)

    def has_any(self, ids: Collection[OrderId]) -> bool:
        """Whether any of the orders exists, hot or archived."""
        return bool(self._sql.fetch_all(_EXISTING, {"ids": id_array(ids)}))

    def _execute(self, statements: Collection[TextClause], ids: Collection[OrderId]) -> None:
        if ids:
            for statement in statements:
                self._sql.execute(statement, {"ids": id_array(ids)})
