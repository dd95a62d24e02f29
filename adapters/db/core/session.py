"""The connection of one transaction: pipelined writes, reads, and translated errors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import psycopg
from sqlalchemy import BigInteger, Connection, Executable, Select, bindparam, func, select
from sqlalchemy import Row as FetchedRow
from sqlalchemy import Sequence as Numbers

from adapters.db.core.bulk_statements import BulkStatement, Insert, Row, Update, Upsert
from adapters.db.core.change_notifications import INSERT_CHANGES, PendingChanges, change_number
from adapters.db.core.driver_statements import DriverStatement
from adapters.db.core.errors import translate_errors
from adapters.db.core.write_behind import WriteBehindQueue
from scalecommerce_core.ports import CatalogChange

COPY_MIN_ROWS: Final = 200
"""Below this number of rows, an INSERT is faster than COPY and its extra round trips."""

_NO_PARAMETERS: Final[Mapping[str, object]] = {}


class SqlSession:
    """Statements of one transaction.

    Writes are buffered until the next read or `commit`, and then sent as one pipeline: one round trip for all of them,
    the commit included. Their errors are raised there. With `write_behind`, writes run in another thread instead, and
    many new rows are written with COPY; reads wait for those writes.
    """

    def __init__(self, connection: Connection, write_behind: WriteBehindQueue | None = None) -> None:
        self._connection = connection
        self._write_behind = write_behind
        self._pending_writes: list[tuple[bytes, dict[str, str]]] = []
        self.copied_rows: Counter[str] = Counter()
        """Number of rows written with COPY, by table."""
        self.pending_changes = PendingChanges()
        """Repositories add what they change of the catalog; the commit logs it for processes with a cache."""

    def fetch_all(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[FetchedRow[*tuple[Any, ...]]]:
        self._flush()
        with translate_errors():
            return self._connection.execute(statement, parameters).all()

    def fetch_fast(
        self, statement: DriverStatement, parameters: Mapping[str, object] = _NO_PARAMETERS
    ) -> Sequence[tuple[Any, ...]]:
        """The rows as `fetch_all` returns them, for statements that are executed very often."""
        self._flush()
        with translate_errors():
            return self._driver_connection().execute(statement.sql, statement.bind(parameters)).fetchall()

    def execute(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> int:
        """Execute a statement; return the number of affected rows."""
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
        """Execute at once: it may wait for row locks, which must be taken in the order of the calls."""
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
        """The first row of the result in binary format, which avoids hex encoding of long bytes; None without rows.

        The statement is not prepared: its best plan depends on the parameters.
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
        """Execute a statement of `bulk_statements` that has a RETURNING clause; return its rows."""
        self._flush()
        with translate_errors():
            return self._connection.exec_driver_sql(statement, dict(parameters)).all()

    def next_numbers(self, statement: Select[int], count: int) -> Sequence[int]:
        """`count` new values of a sequence, in order."""
        return [number for (number,) in self.fetch_all(statement, {"count": count})] if count else []

    def commit(self) -> CatalogChange | None:
        """Send buffered writes with a COMMIT; if there are none, leave the commit to the caller.

        Return the change of the catalog that is logged for other processes, or None.
        """
        if self.pending_changes:
            self._pending_writes.append((INSERT_CHANGES.encode(), self.pending_changes.log_parameters()))
        if not self._pending_writes:
            return None
        row = self._send_pipeline(commit=True)
        return self.pending_changes.to_change(change_number(row[0], row[1])) if self.pending_changes and row else None

    def log_changes(self) -> CatalogChange | None:
        """Log the changes within the transaction, which the caller commits; return that of the catalog or None."""
        if not self.pending_changes:
            return None
        self._flush()
        parameters = self.pending_changes.log_parameters()
        with translate_errors():
            ((timeline, xid),) = self._driver_connection().execute(INSERT_CHANGES.encode(), parameters).fetchall()
        return self.pending_changes.to_change(change_number(timeline, xid))

    def _flush(self) -> None:
        if self._write_behind is not None:
            self._write_behind.flush()
        elif self._pending_writes:
            self._send_pipeline()

    def _send_pipeline(self, *, commit: bool = False) -> tuple[Any, ...] | None:
        """Send buffered writes; return the first row of the last statement's result, None if it has no rows."""
        driver, waiting = self._driver_connection(), self._pending_writes
        self._pending_writes = []
        with translate_errors():
            with driver.pipeline():
                last = None
                for statement, parameters in waiting:
                    last = driver.execute(statement, parameters)
                if commit:
                    # After an error the server skips the remaining statements, this one included. `driver.commit()`
                    # would wait for results before everything is sent: with megabytes to send, server and driver would
                    # wait for each other forever.
                    driver.execute("COMMIT", prepare=False)
            return last.fetchone() if last is not None and last.description else None

    def _driver_connection(self) -> "psycopg.Connection[Any]":
        return cast("psycopg.Connection[Any]", self._connection.connection.driver_connection)


def next_numbers_statement(sequence: Numbers) -> Select[int]:
    """A SELECT that draws `count` values from a sequence."""
    series = func.generate_series(1, bindparam("count", type_=BigInteger)).table_valued("n")
    return select(sequence.next_value()).select_from(series)
