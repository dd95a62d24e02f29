"""Passes over large tables in ranges of ids, each reported to whoever runs the migrations."""

from collections.abc import Callable, Iterator
from typing import Final

from alembic import op
from sqlalchemy import Connection

ROWS: Final = 5_000
"""Ids in one range."""
PROGRESS: Final = "progress"
"""The attribute of Alembic's configuration that holds a `Report`, if anybody wants to know."""

Report = Callable[[str, int, int], None]
"""Called with the step, the ids that are done, and how many there are."""


def id_ranges(connection: Connection, table: str, step: str, size: int = ROWS) -> Iterator[tuple[int, int]]:
    """First and last id of each range of the table, in order; ranges without a row are left out."""
    config = op.get_context().config
    report: Report | None = None if config is None else config.attributes.get(PROGRESS)
    lowest, highest = connection.exec_driver_sql(f"SELECT min(id), max(id) FROM {table}").one()  # noqa: S608 - ours
    if lowest is None:
        return
    first = lowest
    while first <= highest:
        yield first, first + size - 1
        done = min(first + size - 1, highest)
        if report is not None:
            report(step, done - lowest + 1, highest - lowest + 1)
        following = connection.exec_driver_sql(f"SELECT min(id) FROM {table} WHERE id > %s", (done,)).scalar()  # noqa: S608
        if following is None:
            return
        first = following
