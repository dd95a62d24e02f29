"""Iteration over large tables in ranges of ids."""

import logging
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection

ROWS: Final = 5_000
"""Ids in one range."""
LOG: Final = logging.getLogger("alembic.runtime.migration")


def id_ranges(connection: Connection, table: str, step: str, size: int = ROWS) -> Iterator[tuple[int, int]]:
    """Yield the first and last id of each range of the table that has rows, in order.

    A line is logged (INFO) after each range.
    """
    lowest, highest = connection.exec_driver_sql(f"SELECT min(id), max(id) FROM {table}").one()  # noqa: S608 - a table name of a migration
    first = lowest
    while first is not None:
        last = min(first + size - 1, highest)
        yield first, last
        LOG.info("%s: done up to id %s of %s.", step, last, highest)
        first = connection.exec_driver_sql(f"SELECT min(id) FROM {table} WHERE id > %s", (last,)).scalar()  # noqa: S608 - a table name of a migration
