"""The connection of one transaction, with the driver's errors translated."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import psycopg
from sqlalchemy import BigInteger, Connection, Executable, Select, bindparam, func, select
from sqlalchemy import Row as FetchedRow
from sqlalchemy import Sequence as Numbers

from adapters.db.batches import Insert, Row, Update
from adapters.db.errors import translated

COPY_FROM: Final = 200
"""Fewer rows are not worth COPY's extra round trips."""


class Sql:
    """`copies`: whether many new rows may go in by COPY."""

    def __init__(self, connection: Connection, *, copies: bool = False) -> None:
        self._connection = connection
        self._copies = copies

    def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[FetchedRow[*tuple[Any, ...]]]:
        with translated():
            return self._connection.execute(statement, parameters).all()

    def run(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> int:
        """Return how many rows were written."""
        with translated():
            return self._connection.execute(statement, parameters).rowcount

    def insert(self, insert: Insert, rows: Sequence[Row]) -> None:
        if not rows:
            return
        with translated():
            if self._copies and len(rows) >= COPY_FROM:
                driver = cast("psycopg.Connection[Any]", self._connection.connection.driver_connection)
                with driver.cursor() as cursor, cursor.copy(insert.copy.encode()) as copy:
                    copy.write(insert.lines(rows))
            else:
                self._connection.exec_driver_sql(insert.statement, insert.arrays(rows))

    def update(self, update: Update, rows: Sequence[Row]) -> None:
        if rows:
            with translated():
                self._connection.exec_driver_sql(update.statement, update.arrays(rows))

    def returning(self, statement: str, parameters: Mapping[str, object]) -> Sequence[FetchedRow[*tuple[Any, ...]]]:
        """Run a statement of `batches` that was extended to answer with rows."""
        with translated():
            return self._connection.exec_driver_sql(statement, dict(parameters)).all()

    def numbers(self, statement: Select[int], count: int) -> Sequence[int]:
        """`count` new numbers of a sequence, in order."""
        return [number for (number,) in self.rows(statement, {"count": count})] if count else []


def numbers_of(sequence: Numbers) -> Select[int]:
    """What `Sql.numbers` runs."""
    series = func.generate_series(1, bindparam("count", type_=BigInteger)).table_valued("n")
    return select(sequence.next_value()).select_from(series)
