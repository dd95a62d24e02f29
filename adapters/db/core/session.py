"""The connection of one transaction, with the driver's errors translated."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import psycopg
from sqlalchemy import BigInteger, Connection, Executable, Select, bindparam, func, select
from sqlalchemy import Row as FetchedRow
from sqlalchemy import Sequence as Numbers

from adapters.db.core.bulk_statements import Batch, Insert, Row, Update, Upsert
from adapters.db.core.change_notifications import TELL, ChangeNotes
from adapters.db.core.errors import translated
from adapters.db.core.write_behind import WriteBehind
from scalecommerce_core.ports import CatalogChange

COPY_FROM: Final = 200
"""Fewer rows are not worth COPY's extra round trips."""


class Sql:
    """Writes wait until something is read, or until `commit`, and then go out together: they take one round trip,
    that of the commit included, and their errors come up there.

    With `behind`, many new rows go in by COPY, and writes while the caller goes on; reads wait for them.
    """

    def __init__(self, connection: Connection, behind: WriteBehind | None = None) -> None:
        self._connection = connection
        self._behind = behind
        self._waiting: list[tuple[bytes, dict[str, str]]] = []
        self.copied: Counter[str] = Counter()
        """Rows that went in by COPY, by table."""
        self.notes = ChangeNotes()
        """Whoever writes what the catalogue shows notes it here: processes that keep copies are told by the commit."""

    def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[FetchedRow[*tuple[Any, ...]]]:
        self._settle()
        with translated():
            return self._connection.execute(statement, parameters).all()

    def run(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> int:
        """Return how many rows were written."""
        self._settle()
        with translated():
            return self._connection.execute(statement, parameters).rowcount

    def insert(self, insert: Insert, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if self._behind is None:
            self._waiting.append((insert.statement.encode(), insert.arrays(rows)))
        elif len(rows) < COPY_FROM:
            self._behind.later(partial(self._run_batch, insert.statement, insert, rows))
        else:
            self._behind.later(partial(self._copy, insert, rows))

    def update(self, update: Update, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if self._behind is None:
            self._waiting.append((update.statement.encode(), update.arrays(rows)))
        else:
            self._behind.later(partial(self._run_batch, update.statement, update, rows))

    def upsert(self, upsert: Upsert, rows: Sequence[Row]) -> None:
        """At once, even behind other writes: it waits for rows of others, and those that come next may need it."""
        if rows:
            self._settle()
            self._run_batch(upsert.statement, upsert, rows)

    def _run_batch(self, statement: str, batch: Batch, rows: Sequence[Row]) -> None:
        with translated():
            self._connection.exec_driver_sql(statement, batch.arrays(rows))

    def _copy(self, insert: Insert, rows: Sequence[Row]) -> None:
        with translated(), self._driver().cursor() as cursor, cursor.copy(insert.copy.encode()) as copy:
            copy.write(insert.lines(rows))
        self.copied[insert.table] += len(rows)

    def sent(self, statement: str, parameters: Mapping[str, object]) -> tuple[Any, ...] | None:
        """The first row of an answer in PostgreSQL's binary format, in which long bytes are what they are.

        The statement is planned anew each time: it is for much at once, and what suits one range may not suit all.
        """
        self._settle()
        with translated():
            return self._driver().execute(statement.encode(), parameters, prepare=False, binary=True).fetchone()

    def copy_in(self, statement: str, content: bytes) -> None:
        """Send `content` to a COPY … FROM STDIN."""
        self._settle()
        with translated(), self._driver().cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.write(content)

    def returning(self, statement: str, parameters: Mapping[str, object]) -> Sequence[FetchedRow[*tuple[Any, ...]]]:
        """Run a statement of `batches` that was extended to answer with rows."""
        self._settle()
        with translated():
            return self._connection.exec_driver_sql(statement, dict(parameters)).all()

    def numbers(self, statement: Select[int], count: int) -> Sequence[int]:
        """`count` new numbers of a sequence, in order."""
        return [number for (number,) in self.rows(statement, {"count": count})] if count else []

    def commit(self) -> CatalogChange | None:
        """Send what still waits, and commit, if something does; else the commit is left to the caller.

        Return what readers of the catalogue were told.
        """
        if self.notes:
            self._waiting.append((TELL.encode(), self.notes.parameters()))
        if not self._waiting:
            return None
        number = self._send(commit=True)
        return self.notes.as_change(number) if self.notes else None

    def tell(self) -> CatalogChange | None:
        """Tell of what was noted as part of a transaction that the caller commits, and return it."""
        if not self.notes:
            return None
        self._settle()
        with translated():
            ((number, *_), *_) = self._driver().execute(TELL.encode(), self.notes.parameters()).fetchall()
        return self.notes.as_change(number)

    def _settle(self) -> None:
        if self._behind is not None:
            self._behind.settle()
        elif self._waiting:
            self._send()

    def _send(self, *, commit: bool = False) -> int:
        """Return the first figure that the last statement answers with, or 0."""
        driver, waiting = self._driver(), self._waiting
        self._waiting = []
        with translated():
            with driver.pipeline():
                last = None
                for statement, parameters in waiting:
                    last = driver.execute(statement, parameters)
                if commit:
                    # After an error in one of them the server skips the others, and this. `driver.commit()` would wait
                    # for answers before all is sent: with megabytes to send, server and driver wait for each other for
                    # ever.
                    driver.execute("COMMIT", prepare=False)
            row = last.fetchone() if last is not None and last.description else None
        return int(row[0]) if row else 0

    def _driver(self) -> "psycopg.Connection[Any]":
        return cast("psycopg.Connection[Any]", self._connection.connection.driver_connection)


def numbers_of(sequence: Numbers) -> Select[int]:
    """What `Sql.numbers` runs."""
    series = func.generate_series(1, bindparam("count", type_=BigInteger)).table_valued("n")
    return select(sequence.next_value()).select_from(series)
