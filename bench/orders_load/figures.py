"""Figures of a run from the database: decided orders, undecided orders, and times to decisions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from statistics import quantiles
from typing import LiteralString

from attrs import frozen

from adapters.db.core.connection_parameters import open_connection

# An order counts in the window in which it was decided. Orders that are undecided at the end of the window are the
# backlog, even if they are decided a moment later.
_WINDOW: LiteralString = """
    SELECT count(*) FILTER (WHERE created_at >= %(begun)s AND created_at < %(ended)s),
           count(*) FILTER (WHERE status <> 'CREATED' AND updated_at >= %(begun)s AND updated_at < %(ended)s),
           count(*) FILTER (WHERE created_at < %(begun)s AND (status = 'CREATED' OR updated_at >= %(begun)s)),
           count(*) FILTER (WHERE created_at < %(ended)s AND (status = 'CREATED' OR updated_at >= %(ended)s))
    FROM orders
"""


@frozen
class Window:
    """Orders of a time window; `behind_at_first` and `behind_at_last` are undecided at its beginning and end."""

    seconds: float
    accepted: int
    decided: int
    behind_at_first: int
    behind_at_last: int

    @property
    def decided_per_second(self) -> float:
        return self.decided / self.seconds

    @property
    def is_keeping_up(self) -> bool:
        """Whether validation is as fast as intake: the backlog is under one second of work, or has not grown."""
        return self.behind_at_last <= max(self.behind_at_first, self.decided_per_second)


def window(url: str, begun: datetime, ended: datetime) -> Window:
    with open_connection(url) as connection:
        row = connection.execute(_WINDOW, {"begun": begun, "ended": ended}).fetchone()
    accepted, decided, first, last = row or (0, 0, 0, 0)
    return Window((ended - begun).total_seconds(), accepted, decided, first, last)


def undecided(url: str) -> int:
    with open_connection(url) as connection:
        row = connection.execute("SELECT count(*) FROM orders WHERE status = 'CREATED'").fetchone()
    return int(row[0]) if row else 0


def unnumbered(url: str) -> int:
    """Count the events in the outbox, which have no number yet."""
    with open_connection(url) as connection:
        row = connection.execute("SELECT count(*) FROM outbox").fetchone()
    return int(row[0]) if row else 0


def verdict_milliseconds(url: str, accepted: Mapping[int, datetime]) -> list[float]:
    """Return the milliseconds from the client's receipt of the 202 to the commit of the decision, for each order.

    The last transaction that wrote an order is its decision, because orders are neither paid nor cancelled here.
    """
    with open_connection(url) as connection:
        rows = connection.execute(
            "SELECT id, pg_xact_commit_timestamp(xmin) FROM orders WHERE id = ANY (%s) AND status <> 'CREATED'",
            [list(accepted)],
        ).fetchall()
    if len(rows) != len(accepted):
        raise RuntimeError(f"{len(accepted) - len(rows)} of {len(accepted)} orders were never decided.")
    return [max(0.0, (visible - accepted[id_]).total_seconds() * 1000) for id_, visible in rows]


def percentiles(values: Collection[float]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile."""
    cuts: Sequence[float] = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]
