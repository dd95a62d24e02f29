"""Measure what the feed of changes costs PostgreSQL, on a new server with fsync.

Three figures:

- processor time of PostgreSQL for each feed that is in use, with several numbers of feeds and no other load
- commits per second of several clients at once, alternately without and with a change that is reported to feeds
- milliseconds from the commit of a change until a feed reports it

Each feed has a connection of its own, as in an API process. `--engine DIR` measures the feed of another checkout.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from attrs import define, field
from sqlalchemy import Engine, text

from adapters.db.core.change_notifications import PostgresCatalogFeed
from adapters.db.core.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.store import PostgresStore
from adapters.embedded.postgres import EmbeddedPostgres
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import AccessChange, CatalogChange

FEEDS: Final = (10, 20, 40)
CLIENTS: Final = 8
PAUSE: Final = (0.02, 0.06)
"""Seconds between two changes whose latency is measured: not a multiple of the interval of a feed."""
UPDATE: Final = text("UPDATE bench_rows SET value = value + 1 WHERE id = :id")
SERVER_SETTINGS: Final = {"max_connections": "120", "autovacuum": "off"}


@define
class Reports:
    """`ports.ChangeListener` that keeps its feed in use and notes when each product was reported (`time.monotonic`)."""

    keep_alive: Callable[[], None] = lambda: None
    started: threading.Event = field(factory=threading.Event)
    heartbeats: int = 0
    reported_at: dict[ProductId, float] = field(factory=dict)

    def on_start(self, number: int) -> None:  # noqa: ARG002 - the port's signature
        self.started.set()
        self.keep_alive()

    def on_change(self, change: CatalogChange) -> None:
        now = time.monotonic()
        for product in change.products:
            self.reported_at.setdefault(product, now)

    def on_local_change(self, change: CatalogChange) -> None: ...

    def on_events(self) -> None: ...

    def on_access_change(self, change: AccessChange) -> None: ...

    def on_heartbeat(self, moment: float) -> None:  # noqa: ARG002 - the port's signature
        self.heartbeats += 1
        self.keep_alive()


@define
class ServerProcesses:
    """The processor time of all processes of the server, those that ended included."""

    postmaster: int
    _seen: dict[int, int] = field(factory=dict)

    def cpu_seconds(self) -> float:
        for pid in self._pids():
            try:
                self._seen[pid] = int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
        return sum(self._seen.values()) / 1e9

    def _pids(self) -> Iterator[int]:
        yield self.postmaster
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if int(stat.rpartition(")")[2].split()[1]) == self.postmaster:
                    yield int(entry.name)


@contextmanager
def open_feeds(engine: Engine, count: int) -> Iterator[Sequence[Reports]]:
    feeds = [PostgresCatalogFeed(engine) for _ in range(count)]
    listeners = [Reports(feed.keep_alive) for feed in feeds]
    try:
        for feed, listener in zip(feeds, listeners, strict=True):
            feed.follow(listener)
        for listener in listeners:
            if not listener.started.wait(30):
                raise SystemExit("A feed did not start.")
        yield listeners
    finally:
        for feed in feeds:
            feed.close()


def measure_heartbeats(engine: Engine, server: ServerProcesses, seconds: float) -> dict[str, Any]:
    """Percent of one core that PostgreSQL uses for each number of feeds, and for each feed of them."""
    figures = {}
    for count in FEEDS:
        with open_feeds(engine, count) as listeners:
            time.sleep(1)
            beats, used, begun = sum(each.heartbeats for each in listeners), server.cpu_seconds(), time.monotonic()
            time.sleep(seconds)
            share = (server.cpu_seconds() - used) / (time.monotonic() - begun) * 100
            beats = sum(each.heartbeats for each in listeners) - beats
        figures[str(count)] = {
            "percent_of_a_core": round(share, 2),
            "percent_per_feed": round(share / count, 3),
            "heartbeats_per_second_and_feed": round(beats / seconds / count, 1),
        }
    return figures


def change(store: PostgresStore, row: int, product: ProductId | None) -> None:
    """Write one row, and report the change of a product if there is one."""
    with store.begin() as tx:
        sql: Any = tx.products._sql  # type: ignore[attr-defined]  # noqa: SLF001 - the least that a transaction can do
        sql.execute(UPDATE, {"id": row})
        if product is not None:
            sql.pending_changes.products.add(product)


def count_commits(store: PostgresStore, seconds: float, *, reports: bool) -> float:
    """Commits per second of `CLIENTS` threads, each of which writes a row of its own."""
    counts, ends_at = [0] * CLIENTS, time.monotonic() + seconds

    def run(client: int) -> None:
        while time.monotonic() < ends_at:
            change(store, client, ProductId(client + 1) if reports else None)
            counts[client] += 1

    threads = [threading.Thread(target=run, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def measure_commits(engine: Engine, server: ServerProcesses, seconds: float, rounds: int) -> dict[str, Any]:
    store = PostgresStore(engine)
    rates: dict[bool, list[float]] = {False: [], True: []}
    costs: dict[bool, list[float]] = {False: [], True: []}
    with open_feeds(engine, 2):
        for _ in range(rounds):
            for reports in (False, True):
                used = server.cpu_seconds()
                rates[reports].append(count_commits(store, seconds, reports=reports))
                costs[reports].append((server.cpu_seconds() - used) / (rates[reports][-1] * seconds) * 1e6)
    return {
        "clients": CLIENTS,
        "commits_per_second_without": round(median(rates[False])),
        "commits_per_second_with": round(median(rates[True])),
        "ratio": round(median(b / a for a, b in zip(rates[False], rates[True], strict=True)), 2),
        "server_us_per_commit_without": round(median(costs[False])),
        "server_us_per_commit_with": round(median(costs[True])),
    }


def measure_latency(engine: Engine, changes: int) -> dict[str, Any]:
    store, committed_at = PostgresStore(engine), dict[ProductId, float]()
    with open_feeds(engine, 1) as (listener,):
        for product in map(ProductId, range(1, changes + 1)):
            change(store, 0, product)
            committed_at[product] = time.monotonic()
            time.sleep(random.uniform(*PAUSE))
        time.sleep(1)
        # A feed may report a change before the thread that committed it continues.
        waits = [max(0.0, listener.reported_at[product] - moment) * 1000 for product, moment in committed_at.items()]
    cuts = quantiles(waits, n=100)
    return {
        "changes": changes,
        "p50_ms": round(cuts[49], 1),
        "p95_ms": round(cuts[94], 1),
        "max_ms": round(max(waits), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.change_feed", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="length of each measurement (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of measurements of commits (default 3)")
    parser.add_argument("--changes", type=int, default=300, help="changes whose latency is measured (default 300)")
    parser.add_argument("--engine", type=Path, metavar="DIR", help="measure the engine of this checkout and its .venv")
    arguments = parser.parse_args()
    if arguments.engine is not None:
        directory = arguments.engine.resolve()
        own = str(Path(__file__).resolve())
        options = [f"--{name}={getattr(arguments, name)}" for name in ("seconds", "rounds", "changes")]
        python = str(directory / ".venv" / "bin" / "python")
        # -P: without the directory of this file, whose statistics.py would hide that of the standard library.
        os.execve(python, [python, "-P", own, *options], {**os.environ, "PYTHONPATH": str(directory)})  # noqa: S606 - no shell
    with tempfile.TemporaryDirectory() as home, EmbeddedPostgres(home, SERVER_SETTINGS) as postgres:
        upgrade(postgres.url)
        engine = database_engine(postgres.url, pool_size=60, max_overflow=0)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE bench_rows (id int PRIMARY KEY, value int NOT NULL)")
            connection.execute(
                text("INSERT INTO bench_rows SELECT n, 0 FROM generate_series(0, :last) AS n"), {"last": CLIENTS - 1}
            )
        pid_file = Path(home) / "postgresql" / "data" / "postmaster.pid"
        server = ServerProcesses(int(pid_file.read_text(encoding="utf-8").split()[0]))
        report = {
            "latency": measure_latency(engine, arguments.changes),
            "commits": measure_commits(engine, server, arguments.seconds, arguments.rounds),
            "heartbeats": measure_heartbeats(engine, server, arguments.seconds),
        }
        engine.dispose()
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
