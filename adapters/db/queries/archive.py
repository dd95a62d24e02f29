"""The archive of settled orders: its totals, its audit, and its orders for exports."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Table, bindparam, select, text

from adapters.db.queries.orders import OrderQueries
from adapters.db.repositories.order_archive import ARCHIVE, FIGURES, MONTHS, checksum_sql
from adapters.db.schema import Moment, archived_months
from adapters.db.schema.orders import orders
from adapters.db.schema.payments import payment_refunds, payments
from scalecommerce_core.queries import ArchiveDiscrepancy, ArchivedMonth, OrderView

PAGE_SIZE: Final = 2_000
_NO_TIMEOUT: Final = {"statement_timeout": "0"}

_MONTHS: Final = (
    select(archived_months.c.month, archived_months.c.currency, *(archived_months.c[name] for name in FIGURES[:-1]))
    # An order that was restored leaves a row with zeros.
    .where(archived_months.c.orders > 0)
    .order_by(archived_months.c.month, archived_months.c.currency)
)


def _compared(name: str) -> str:
    shown = "checksums" if name == "checksum" else name
    return f"('{shown}', coalesce(stored.{name}, 0), coalesce(found.{name}, 0))"


def _orphans(table: Table) -> str:
    parent, key = (payments, "payment_id") if table is payment_refunds else (orders, "order_id")
    name = ARCHIVE[table]
    return f"""
    SELECT 'orphans', '{name}', CAST(count(*) AS numeric), CAST(0 AS numeric) FROM {name}
    WHERE NOT EXISTS (SELECT FROM {ARCHIVE[parent]} AS parent WHERE parent.id = {name}.{key})
    HAVING count(*) > 0
    """  # noqa: S608 - names of tables and columns


# One statement, hence one snapshot.
_DISCREPANCIES: Final = text(
    f"""
    SELECT 'checksum', CAST(id AS text), CAST(checksum AS numeric), CAST(computed AS numeric) FROM (
        SELECT id, checksum, {checksum_sql(ARCHIVE)} AS computed FROM archived_orders OFFSET 0
    ) AS hashed
    WHERE checksum <> computed
    UNION ALL
    SELECT 'units', CAST(product_id AS text), coalesce(stored.units, 0), coalesce(found.units, 0)
    FROM archived_stock AS stored FULL JOIN (
        SELECT product_id, sum(quantity) AS units FROM archived_stock_movements GROUP BY product_id
    ) AS found USING (product_id)
    WHERE coalesce(stored.units, 0) <> coalesce(found.units, 0)
    UNION ALL
    SELECT figure, concat(to_char(month, 'YYYY-MM'), ' ', currency), expected.stored, expected.found
    FROM archived_months AS stored FULL JOIN ({MONTHS.format(condition="")}) AS found USING (month, currency)
    CROSS JOIN LATERAL (VALUES {", ".join(map(_compared, FIGURES))}) AS expected(figure, stored, found)
    WHERE expected.stored <> expected.found
    UNION ALL
    {" UNION ALL ".join(_orphans(table) for table in ARCHIVE if table is not orders)}
    ORDER BY 1, 2 LIMIT CAST(:limit AS bigint)
    """  # noqa: S608 - names of tables and columns
)

_PAGE: Final = text(
    f"""
    SELECT created_at, id FROM archived_orders
    WHERE (created_at, id) > (coalesce(:after, CAST('-infinity' AS timestamptz)), :after_id)
        AND created_at >= coalesce(:since, CAST('-infinity' AS timestamptz))
        AND created_at < coalesce(:until, CAST('infinity' AS timestamptz))
    ORDER BY created_at, id LIMIT {PAGE_SIZE}
    """  # noqa: S608 - a constant
).bindparams(
    bindparam("after", type_=Moment),
    bindparam("after_id", type_=BigInteger),
    bindparam("since", type_=Moment),
    bindparam("until", type_=Moment),
)


class ArchiveQueries(OrderQueries):
    def archived_months(self) -> Sequence[ArchivedMonth]:
        return [
            ArchivedMonth(month, currency, *map(int, figures))
            for month, currency, *figures in self._executor.fetch(_MONTHS)
        ]

    def archive_discrepancies(self, limit: int | None = 100) -> Sequence[ArchiveDiscrepancy]:
        rows = self._executor.fetch_with_settings(_NO_TIMEOUT, _DISCREPANCIES, {"limit": limit})
        return [ArchiveDiscrepancy(figure, key, int(stored), int(expected)) for figure, key, stored, expected in rows]

    def iter_archived_orders(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[OrderView]:
        after: tuple[datetime | None, int] = (None, 0)
        while rows := self._executor.fetch(
            _PAGE, {"after": after[0], "after_id": after[1], "since": since, "until": until}
        ):
            found = self.orders([id_ for _, id_ in rows])
            yield from (found[id_] for _, id_ in rows if id_ in found)
            after = rows[-1][0], rows[-1][1]
