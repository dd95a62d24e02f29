"""Records the statements that psycopg executes: those of SQLAlchemy and those that bypass it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import psycopg
from psycopg import sql
from sqlalchemy import Engine

Statement = tuple[str, Any]
"""The SQL, and the parameters."""
_TRANSACTION: Final = ("BEGIN", "COMMIT", "ROLLBACK")


@contextmanager
def recorded_statements() -> Iterator[list[Statement]]:
    """Record the statements of all connections and threads of this process, without those that begin and end
    transactions."""
    statements: list[Statement] = []
    execute, copy = psycopg.Cursor.execute, psycopg.Cursor.copy

    def note(cursor: Any, query: Any, parameters: Any) -> None:
        text = query.as_string(cursor) if isinstance(query, sql.Composable) else query
        text = text.decode() if isinstance(text, bytes) else text
        if not text.startswith(_TRANSACTION):
            statements.append((text, parameters))

    def note_execute(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        note(cursor, query, params)
        return execute(cursor, query, params, **options)

    def note_copy(cursor: Any, statement: Any, params: Any = None, **options: Any) -> Any:
        note(cursor, statement, params)
        return copy(cursor, statement, params, **options)

    with patch.object(psycopg.Cursor, "execute", note_execute), patch.object(psycopg.Cursor, "copy", note_copy):
        yield statements


def most_rows(engine: Engine, sql: str, parameters: Any) -> int:
    """The most rows that a node of the plan read, with the rows that it discarded."""
    with engine.connect() as connection:
        (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters).one()
    return max(_rows(plan[0]["Plan"]))


def _rows(node: dict[str, Any]) -> Iterator[int]:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    yield int((node["Actual Rows"] + removed) * node["Actual Loops"])
    for child in node.get("Plans", ()):
        yield from _rows(child)
