"""What the database tells about a run: orders decided in it, orders left behind, and how long verdicts took."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from statistics import quantiles
from typing import LiteralString

import psycopg
from attrs import frozen

from bench.orders_load.market import plain

# An order counts where its verdict was given, not where it was taken in; what was not decided by the end of the
# window is the backlog, also if it was decided a moment later.
_WINDOW: LiteralString = """
    SELECT count(*) FILTER (WHERE created_at >= %(begun)s AND created_at < %(ended)s),
           count(*) FILTER (WHERE status <> 'CREATED' AND updated_at >= %(begun)s AND updated_at < %(ended)s),
           count(*) FILTER (WHERE created_at < %(begun)s AND (status = 'CREATED' OR updated_at >= %(begun)s)),
           count(*) FILTER (WHERE created_at < %(ended)s AND (status = 'CREATED' OR updated_at >= %(ended)s))
    FROM orders
"""


@frozen
class Window:
    """Orders of a stretch of time; `behind` are those undecided at its beginning and its end."""

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
        """Background validation is as fast as intake: less than a second's work is left, or no more than before."""
        return self.behind_at_last <= max(self.behind_at_first, self.decided_per_second)


def window(url: str, begun: datetime, ended: datetime) -> Window:
    with psycopg.connect(plain(url)) as connection:
        row = connection.execute(_WINDOW, {"begun": begun, "ended": ended}).fetchone()
    accepted, decided, first, last = row or (0, 0, 0, 0)
    return Window((ended - begun).total_seconds(), accepted, decided, first, last)


def undecided(url: str) -> int:
    with psycopg.connect(plain(url)) as connection:
        row = connection.execute("SELECT count(*) FROM orders WHERE status = 'CREATED'").fetchone()
    return int(row[0]) if row else 0


def unnumbered(url: str) -> int:
    """Events that wait in the outbox for their numbers."""
    with psycopg.connect(plain(url)) as connection:
        row = connection.execute("SELECT count(*) FROM outbox").fetchone()
    return int(row[0]) if row else 0


def verdict_milliseconds(url: str, accepted: Mapping[int, datetime]) -> list[float]:
    """From the moment a client had the 202 in hand to the commit of the verdict, which is when all others see it.

    The last transaction that wrote the order is the one that decided it: nobody pays or cancels here.
    """
    with psycopg.connect(plain(url)) as connection:
        rows = connection.execute(
            "SELECT id, pg_xact_commit_timestamp(xmin) FROM orders WHERE id = ANY (%s) AND status <> 'CREATED'",
            [list(accepted)],
        ).fetchall()
    if len(rows) != len(accepted):
        raise RuntimeError(f"{len(accepted) - len(rows)} of {len(accepted)} orders were never decided.")
    return [max(0.0, (visible - accepted[id_]).total_seconds() * 1000) for id_, visible in rows]


def percentiles(values: Collection[float]) -> tuple[float, float]:
    """The 50th and the 99th."""
    cuts: Sequence[float] = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]
