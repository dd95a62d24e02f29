"""Checks the database several times a second during the test, and measures how long each recovery takes."""

import threading
import time
from collections.abc import Callable
from typing import Final, LiteralString

import psycopg
from attrs import define, field, frozen

from entrypoints.processes.readiness_probe import api_answers
from entrypoints.torture.engine_under_test import EngineUnderTest
from entrypoints.wiring import database_connection

POLL_SECONDS: Final = 0.2
BALANCE_EVERY: Final = 5
"""The balance of all products is checked at every fifth poll, since it is the most expensive check."""

IMPOSSIBLE: Final[LiteralString] = "SELECT product_id FROM stock WHERE reserved < 0 OR reserved > on_hand"

# One statement, so that all figures are of one snapshot.
UNBALANCED: Final[LiteralString] = """
    WITH moved AS (SELECT product_id, sum(quantity) AS units FROM stock_movements GROUP BY product_id),
    promised AS (
        SELECT l.product_id, sum(l.quantity) AS units
        FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.status = 'PENDING' GROUP BY l.product_id
    )
    SELECT s.product_id, s.on_hand, coalesce(m.units, 0), s.reserved, coalesce(p.units, 0)
    FROM stock s LEFT JOIN moved m USING (product_id) LEFT JOIN promised p USING (product_id)
    WHERE s.on_hand <> coalesce(m.units, 0) OR s.reserved <> coalesce(p.units, 0)
"""

UNDECIDED: Final[LiteralString] = """
    SELECT count(*) FROM orders WHERE status = 'CREATED' AND created_at <= now() - make_interval(secs => %s)
"""
UNSETTLED: Final[LiteralString] = """
    SELECT (SELECT count(*) FROM orders WHERE status = 'CREATED')
         + (SELECT count(*) FROM orders WHERE status = 'PENDING' AND expires_at <= now())
         + (SELECT count(*) FROM outbox)
         + (SELECT count(*) FROM payments WHERE status = 'OPEN')
         + (SELECT count(*) FROM payment_refunds WHERE status = 'OPEN')
         + (SELECT count(*) FROM sandbox_charges c JOIN payments p ON p.id = c.key
            WHERE c.declined_because IS NULL AND p.status = 'ABANDONED')
         + (SELECT count(*) FROM webhook_deliveries WHERE status = 'PENDING')
         + (SELECT count(*) FROM pricing_runs WHERE status IN ('DECIDING', 'WRITING', 'ROLLING_BACK'))
         + (SELECT count(*) FROM event_consumers c, event_counter n
            WHERE c.seq < n.last AND EXISTS (SELECT FROM webhook_endpoints))
"""


@define
class _Recovery:
    """Kills from which the engine has not recovered; `up_at` is when everything ran again after the last one."""

    victims: list[str]
    last_at: float
    up_at: float | None = None


@frozen
class Recovered:
    """A completed recovery: the killed processes in order, and the seconds since the last kill."""

    victims: tuple[str, ...]
    seconds: float


@define
class MonitorRecord:
    """Results of the monitor; written by its thread, read by others."""

    samples: int = 0
    violations: list[str] = field(factory=list)
    settled: list[Recovered] = field(factory=list)


class Monitor(threading.Thread):
    def __init__(self, engine: EngineUnderTest, stop: threading.Event) -> None:
        super().__init__(name="monitor", daemon=True)
        self.seen = MonitorRecord()
        self._engine = engine
        self._stop_requested = stop
        self._recovery: _Recovery | None = None
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None

    def killed(self, victim: str) -> None:
        with self._lock:
            earlier = self._recovery.victims if self._recovery is not None else []
            self._recovery = _Recovery([*earlier, victim], time.monotonic())

    @property
    def is_settled(self) -> bool:
        with self._lock:
            return self._recovery is None

    def run(self) -> None:
        looks = 0
        while not self._stop_requested.wait(POLL_SECONDS):
            looks += 1
            try:
                self._look(with_balance=looks % BALANCE_EVERY == 0)
            except psycopg.Error:  # the server has been killed
                self._close()
        self._close()

    def _look(self, *, with_balance: bool) -> None:
        connection = self._connected()
        impossible = connection.execute(IMPOSSIBLE).fetchall()
        self.seen.violations += [f"product {product}: more reserved than on hand" for (product,) in impossible]
        if with_balance:
            self.seen.violations += [
                f"product {product}: on hand {on_hand}, moved {moved}; reserved {reserved}, promised {promised}"
                for product, on_hand, moved, reserved, promised in connection.execute(UNBALANCED)
            ]
        self.seen.samples += 1
        self._check_recovery(connection)

    def _check_recovery(self, connection: psycopg.Connection) -> None:
        with self._lock:
            recovery = self._recovery
        if recovery is None:
            return
        if recovery.up_at is None:
            if self._everything_runs():
                recovery.up_at = time.monotonic()
        elif not self._undecided(connection, time.monotonic() - recovery.up_at):
            with self._lock:
                if self._recovery is recovery:  # otherwise there was another kill
                    self.seen.settled.append(Recovered(tuple(recovery.victims), time.monotonic() - recovery.last_at))
                    self._recovery = None

    def _everything_runs(self) -> bool:
        return self._engine.all_run and all(
            api_answers(address.reachable, address.port) for address in self._engine.addresses
        )

    def _undecided(self, connection: psycopg.Connection, older_than: float) -> int:
        row = connection.execute(UNDECIDED, [older_than]).fetchone()
        return int(row[0]) if row else 0

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = connect(self._engine)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def connect(engine: EngineUnderTest) -> psycopg.Connection:
    """Connect to the database in autocommit mode."""
    return database_connection(engine.servers.database_url, "torture")


def unsettled(engine: EngineUnderTest) -> int | None:
    """Count the unfinished work in the database; None if it does not answer."""
    try:
        with connect(engine) as connection:
            row = connection.execute(UNSETTLED).fetchone()
    except psycopg.Error:
        return None
    return int(row[0]) if row else None


def settle(engine: EngineUnderTest, supervise: Callable[[], None], seconds: float) -> float | None:
    """Wait until everything runs and no work is left; return the seconds, or None after `seconds`."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        supervise()
        if engine.all_run and unsettled(engine) == 0:
            return time.monotonic() - begun
        time.sleep(POLL_SECONDS)
    return None
