"""The connection of one transaction, with the driver's errors translated."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import psycopg
from sqlalchemy import BigInteger, Connection, Executable, Select, bindparam, func, select
from sqlalchemy import Row as FetchedRow
from sqlalchemy import Sequence as Numbers

from adapters.db.core.bulk_statements import BulkStatement, Insert, Row, Update, Upsert
from adapters.db.core.change_notifications import NOTIFY, PendingChanges
from adapters.db.core.errors import translate_errors
from adapters.db.core.write_behind import WriteBehindQueue
from scalecommerce_core.ports import CatalogChange

COPY_MIN_ROWS: Final = 200
"""Fewer rows are not worth COPY's extra round trips."""


class SqlSession:
    """Writes wait until something is read, or until `commit`, and then go out together: they take one round trip,
    that of the commit included, and their errors come up there.

    With `behind`, many new rows go in by COPY, and writes while the caller goes on; reads wait for them.
    """

    def __init__(self, connection: Connection, write_behind: WriteBehindQueue | None = None) -> None:
        self._connection = connection
        self._write_behind = write_behind
        self._pending_writes: list[tuple[bytes, dict[str, str]]] = []
        self.copied_rows: Counter[str] = Counter()
        """Rows that went in by COPY, by table."""
        self.pending_changes = PendingChanges()
        """Whoever writes what the catalogue shows notes it here: processes that keep copies are told by the commit."""

    def fetch_all(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[FetchedRow[*tuple[Any, ...]]]:
        self._flush()
        with translate_errors():
            return self._connection.execute(statement, parameters).all()

    def execute(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> int:
        """Return how many rows were written."""
        self._flush()
        with translate_errors():
            return self._connection.execute(statement, parameters).rowcount

    def insert(self, insert: Insert, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if self._write_behind is None:
            self._pending_writes.append((insert.statement.encode(), insert.array_literals(rows)))
        elif len(rows) < COPY_MIN_ROWS:
            self._write_behind.submit(partial(self._run_batch, insert.statement, insert, rows))
        else:
            self._write_behind.submit(partial(self._copy, insert, rows))

    def update(self, update: Update, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if self._write_behind is None:
            self._pending_writes.append((update.statement.encode(), update.array_literals(rows)))
        else:
            self._write_behind.submit(partial(self._run_batch, update.statement, update, rows))

    def upsert(self, upsert: Upsert, rows: Sequence[Row]) -> None:
        """At once, even behind other writes: it waits for rows of others, and those that come next may need it."""
        if rows:
            self._flush()
            self._run_batch(upsert.statement, upsert, rows)

    def _run_batch(self, statement: str, batch: BulkStatement, rows: Sequence[Row]) -> None:
        with translate_errors():
            self._connection.exec_driver_sql(statement, batch.array_literals(rows))

    def _copy(self, insert: Insert, rows: Sequence[Row]) -> None:
        with (
            translate_errors(),
            self._driver_connection().cursor() as cursor,
            cursor.copy(insert.copy.encode()) as copy,
        ):
            copy.write(insert.copy_text(rows))
        self.copied_rows[insert.table] += len(rows)

    def fetch_binary(self, statement: str, parameters: Mapping[str, object]) -> tuple[Any, ...] | None:
        """The first row of an answer in PostgreSQL's binary format, in which long bytes are what they are.

        The statement is planned anew each time: it is for much at once, and what suits one range may not suit all.
        """
        self._flush()
        with translate_errors():
            return (
                self._driver_connection().execute(statement.encode(), parameters, prepare=False, binary=True).fetchone()
            )

    def copy_from(self, statement: str, content: bytes) -> None:
        """Send `content` to a COPY … FROM STDIN."""
        self._flush()
        with translate_errors(), self._driver_connection().cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.write(content)

    def fetch_returning(
        self, statement: str, parameters: Mapping[str, object]
    ) -> Sequence[FetchedRow[*tuple[Any, ...]]]:
        """Run a statement of `batches` that was extended to answer with rows."""
        self._flush()
        with translate_errors():
            return self._connection.exec_driver_sql(statement, dict(parameters)).all()

    def next_numbers(self, statement: Select[int], count: int) -> Sequence[int]:
        """`count` new numbers of a sequence, in order."""
        return [number for (number,) in self.fetch_all(statement, {"count": count})] if count else []

    def commit(self) -> CatalogChange | None:
        """Send what still waits, and commit, if something does; else the commit is left to the caller.

        Return what readers of the catalogue were told.
        """
        if self.pending_changes:
            self._pending_writes.append((NOTIFY.encode(), self.pending_changes.notify_parameters()))
        if not self._pending_writes:
            return None
        number = self._send_pipeline(commit=True)
        return self.pending_changes.to_change(number) if self.pending_changes else None

    def notify(self) -> CatalogChange | None:
        """Tell of what was noted as part of a transaction that the caller commits, and return it."""
        if not self.pending_changes:
            return None
        self._flush()
        with translate_errors():
            ((number, *_), *_) = (
                self._driver_connection().execute(NOTIFY.encode(), self.pending_changes.notify_parameters()).fetchall()
            )
        return self.pending_changes.to_change(number)

    def _flush(self) -> None:
        if self._write_behind is not None:
            self._write_behind.flush()
        elif self._pending_writes:
            self._send_pipeline()

    def _send_pipeline(self, *, commit: bool = False) -> int:
        """Return the first figure that the last statement answers with, or 0."""
        driver, waiting = self._driver_connection(), self._pending_writes
        self._pending_writes = []
        with translate_errors():
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

    def _driver_connection(self) -> "psycopg.Connection[Any]":
        return cast("psycopg.Connection[Any]", self._connection.connection.driver_connection)


def next_numbers_statement(sequence: Numbers) -> Select[int]:
    """What `Sql.numbers` runs."""
    series = func.generate_series(1, bindparam("count", type_=BigInteger)).table_valued("n")
    return select(sequence.next_value()).select_from(series)
