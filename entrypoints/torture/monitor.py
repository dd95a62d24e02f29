"""A look at the database several times a second: what must hold at every instant, and how long settling takes."""

import threading
import time
from collections.abc import Callable
from typing import Final, LiteralString

import psycopg
from attrs import define, field, frozen

from entrypoints.processes.readiness_probe import api_answers
from entrypoints.torture.engine_under_test import Site

LOOK_SECONDS: Final = 0.2
BOOKS_EVERY: Final = 5
"""Looks; the books of all products take longer than the other questions."""

IMPOSSIBLE: Final[LiteralString] = "SELECT product_id FROM stock WHERE reserved < 0 OR reserved > on_hand"

# One statement, so that all of it is of one instant.
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
class _Wound:
    """Kills that have not settled; `up_at` is when everything ran again after the last of them."""

    victims: list[str]
    last_at: float
    up_at: float | None = None


@frozen
class Settled:
    """`victims` in the order of their deaths, and the seconds since the last one."""

    victims: tuple[str, ...]
    seconds: float


@define
class Watch:
    """Kept by one thread, read by others."""

    samples: int = 0
    violations: list[str] = field(factory=list)
    settled: list[Settled] = field(factory=list)


class Watcher(threading.Thread):
    def __init__(self, site: Site, stop: threading.Event) -> None:
        super().__init__(name="watcher", daemon=True)
        self.seen = Watch()
        self._site = site
        self._stop_asked = stop
        self._wound: _Wound | None = None
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None

    def killed(self, victim: str) -> None:
        with self._lock:
            earlier = self._wound.victims if self._wound is not None else []
            self._wound = _Wound([*earlier, victim], time.monotonic())

    @property
    def is_settled(self) -> bool:
        with self._lock:
            return self._wound is None

    def run(self) -> None:
        looks = 0
        while not self._stop_asked.wait(LOOK_SECONDS):
            looks += 1
            try:
                self._look(with_books=looks % BOOKS_EVERY == 0)
            except psycopg.Error:  # it has been killed
                self._close()
        self._close()

    def _look(self, *, with_books: bool) -> None:
        connection = self._connected()
        impossible = connection.execute(IMPOSSIBLE).fetchall()
        self.seen.violations += [f"product {product}: more reserved than on hand" for (product,) in impossible]
        if with_books:
            self.seen.violations += [
                f"product {product}: on hand {on_hand}, moved {moved}; reserved {reserved}, promised {promised}"
                for product, on_hand, moved, reserved, promised in connection.execute(UNBALANCED)
            ]
        self.seen.samples += 1
        self._look_at_the_wound(connection)

    def _look_at_the_wound(self, connection: psycopg.Connection) -> None:
        with self._lock:
            wound = self._wound
        if wound is None:
            return
        if wound.up_at is None:
            if self._everything_runs():
                wound.up_at = time.monotonic()
        elif not self._undecided(connection, time.monotonic() - wound.up_at):
            with self._lock:
                if self._wound is wound:  # else somebody was killed in the meantime
                    self.seen.settled.append(Settled(tuple(wound.victims), time.monotonic() - wound.last_at))
                    self._wound = None

    def _everything_runs(self) -> bool:
        return self._site.all_run and all(
            api_answers(address.reachable, address.port) for address in self._site.addresses
        )

    def _undecided(self, connection: psycopg.Connection, older_than: float) -> int:
        row = connection.execute(UNDECIDED, [older_than]).fetchone()
        return int(row[0]) if row else 0

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = connected(self._site)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def connected(site: Site) -> psycopg.Connection:
    """A connection of the test's own, each statement a transaction."""
    url = site.servers.database_url.replace("+psycopg", "", 1)
    return psycopg.connect(url, autocommit=True, connect_timeout=3, application_name="torture")


def unsettled(site: Site) -> int | None:
    """How many things are still to be done; None: the database does not answer."""
    try:
        with connected(site) as connection:
            row = connection.execute(UNSETTLED).fetchone()
    except psycopg.Error:
        return None
    return int(row[0]) if row else None


def settle(site: Site, tend: Callable[[], None], seconds: float) -> float | None:
    """Seconds until everything runs and nothing is left to do; None: not within that time."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        tend()
        if site.all_run and unsettled(site) == 0:
            return time.monotonic() - begun
        time.sleep(LOOK_SECONDS)
    return None
