"""Reads of the products of the search index: all of them in one snapshot, those that changed, and popularity tiers."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import numpy as np
import psycopg
from attrs import frozen
from sqlalchemy import Connection, Engine, text

from adapters.db.core.bulk_statements import id_array
from adapters.db.core.change_notifications import LogPosition, change_number
from adapters.db.core.errors import translate_errors
from adapters.db.core.primary_monitor import INSTANCE, TIMELINE
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.statement_cache import CachedStatement

# id, category, brand, seller, price, currency, microseconds since 1970, popularity tier, document
Row = Sequence[Any]

_COLUMNS: Final = """
    id, category_id, brand, seller_id, price, CAST(currency AS text),
    CAST(extract(epoch FROM created_at) * 1000000 AS bigint), prominence, CAST(document AS text)
"""
_TYPES: Final = ("int8", "int4", "text", "int8", "int8", "text", "int8", "int2", "text")
_POSITION: Final = text(
    f"SELECT {TIMELINE}, CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint), {INSTANCE}"
)
_ALL: Final = f"COPY (SELECT {_COLUMNS} FROM products WHERE is_active) TO STDOUT"  # noqa: S608 - constants
_BY_ID: Final = CachedStatement.compile(
    text(f"SELECT {_COLUMNS} FROM products WHERE is_active AND id = ANY (CAST(:ids AS bigint[]))")  # noqa: S608 - constants
)
_PRICES: Final = CachedStatement.compile(
    text("SELECT id, price FROM products WHERE is_active AND id = ANY (CAST(:ids AS bigint[]))")
)
_TIERS: Final = (
    "COPY (SELECT id, prominence FROM products WHERE is_active AND prominence > 0) TO STDOUT (FORMAT binary)"
)
# A row of the binary format: the number of columns, then the length and the value of each.
_TIER_ROW: Final = np.dtype([("columns", ">i2"), ("_", ">i4"), ("id", ">i8"), ("__", ">i4"), ("tier", ">i2")])
_HEADER_BYTES: Final = 19
_TRAILER_BYTES: Final = 2
IDS_PER_STATEMENT: Final = 1_000


@frozen
class CatalogSnapshot:
    """All active products in one snapshot, which includes every change below `position`; `rows` can be read once."""

    position: LogPosition
    rows: Iterator[Row]


@contextmanager
def catalog_snapshot(engine: Engine) -> Iterator[CatalogSnapshot]:
    """Read all active products; raise `MarketError`. The statement may take minutes: the engine has no time limit."""
    with translate_errors(engine), engine.connect() as connection:
        # By BEGIN: through a pooler of transactions, settings are made in the transaction before any statement here.
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        timeline, xmin, instance = connection.execute(_POSITION).one()
        position = LogPosition(change_number(timeline, xmin), instance.encode())
        with _driver(connection).cursor() as cursor, cursor.copy(_ALL.encode()) as copy:
            copy.set_types(_TYPES)
            yield CatalogSnapshot(position, copy.rows())


class IndexSource:
    """Reads of one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._executor = QueryExecutor(engine)

    def read_products(self, ids: Collection[int]) -> list[Row]:
        """The active ones of these products."""
        return [row for part in _parts(ids) for row in self._executor.fetch(_BY_ID, {"ids": id_array(part)})]

    def read_prices(self, ids: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of the active ones of these products, and their prices in minor units."""
        rows = [row for part in _parts(ids) for row in self._executor.fetch(_PRICES, {"ids": id_array(part)})]
        pairs = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def read_tiers(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all active products above the lowest popularity tier, and their tiers."""
        with translate_errors(self._engine), self._engine.connect() as connection:
            # SQLAlchemy begins a transaction only for statements of its own, and a pooler needs its settings in one.
            connection.execute(text("SELECT 1"))
            with _driver(connection).cursor() as cursor, cursor.copy(_TIERS.encode()) as copy:
                content = b"".join(copy)
        rows = np.frombuffer(content[_HEADER_BYTES : len(content) - _TRAILER_BYTES], _TIER_ROW)
        return rows["id"].astype(np.int64), rows["tier"].astype(np.uint8)


def _driver(connection: Connection) -> "psycopg.Connection[Any]":
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def _parts(ids: Collection[int]) -> Iterator[Sequence[int]]:
    ordered = sorted(ids)
    for begin in range(0, len(ordered), IDS_PER_STATEMENT):
        yield ordered[begin : begin + IDS_PER_STATEMENT]
