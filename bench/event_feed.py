"""Measure how long numbering an event and reading a page of the feed take, on a new PostgreSQL."""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text

from adapters.db.core.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.embedded.postgres import EmbeddedPostgres
from scalecommerce_core.domain.identifiers import AccountId

ROUNDS: Final = 30
BUSY, OLD, NEW, WITHOUT_EVENTS, USUAL = (AccountId(number) for number in (1, 2, 3, 4, 1_500))

RECORD: Final = text(
    """
    INSERT INTO outbox (topic, occurred_at, audience, order_id)
    SELECT 'order.reserved', now(), ARRAY[1000 + n * 7919 % 100000, n % 1000], n
    FROM generate_series(1, CAST(:events AS bigint)) AS n
    """
)
# Account 1 (BUSY) reads two fifths of all events. Each event is also read by one of 100,000 other accounts. Accounts 2
# (OLD) and 3 (NEW) read three events each: the first three and the last three.
FILL: Final = """
INSERT INTO events (seq, topic, occurred_at, reader_1, reader_2, payload)
SELECT n, 'product.edited', now(), 1000 + n * 7919 % 100000, CASE WHEN n % 5 < 2 THEN 1 ELSE 200000 + n % 1000 END,
    jsonb_build_object('product_id', n, 'seller_id', 1)
FROM generate_series(1, CAST(:events AS bigint)) AS n;
INSERT INTO event_audience (account_id, seq)
SELECT 2, n FROM generate_series(1, 3) AS n
UNION ALL SELECT 3, :events - n FROM generate_series(0, 2) AS n
ORDER BY 1, 2;
INSERT INTO event_counter (singleton, last) VALUES (true, :events);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--numbered", type=int, default=100_000, help="events to number with each batch size (default 100,000)"
    )
    parser.add_argument(
        "--events", type=int, default=10_000_000, help="events in the feed whose pages are read (default 10,000,000)"
    )
    arguments = parser.parse_args()
    for measure, events in ((_number, arguments.numbered), (_read, arguments.events)):
        with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(directory) as server:
            upgrade(server.url)
            engine = database_engine(server.url, pool_size=1, max_overflow=0, statement_timeout=None)
            measure(engine, events)
            engine.dispose()


def _number(engine: Engine, events: int) -> None:
    store = PostgresStore(engine)
    for batch in (2_000, 500, 100):
        with engine.begin() as connection:
            connection.execute(RECORD, {"events": events})
            pid: int = connection.scalar(text("SELECT pg_backend_pid()"))
        used, begun, numbered = _processor_seconds(pid), time.perf_counter(), batch
        while numbered == batch:
            with store.begin() as tx:
                numbered = tx.events.assign_sequence(batch)
        used, seconds = _processor_seconds(pid) - used, time.perf_counter() - begun
        print(
            f"numbering {events:,} events in batches of {batch:,}: {events / seconds:,.0f}/s,"
            f" {used / events * 1e6:.1f} µs of CPU time of PostgreSQL per event"
        )


def _processor_seconds(pid: int) -> float:
    """Return the user and system CPU time of a process, from /proc (Linux only)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _read(engine: Engine, events: int) -> None:
    with engine.begin() as connection:
        for statement in FILL.strip().split(";\n"):
            connection.execute(text(statement.rstrip(";")), {"events": events})
    for state in ("without planner statistics", "with planner statistics"):
        if state == "with planner statistics":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
        print(f"{events:,} events, {state}")
        _page(engine, "staff, far behind", 0, None)
        _page(engine, "staff, caught up", events, None)
        _page(engine, "account with many events, far behind", 0, BUSY)
        _page(engine, "account with many events, caught up", events - 3, BUSY)
        _page(engine, "3 old events, far behind", 0, OLD)
        _page(engine, "3 new events, far behind", 0, NEW)
        _page(engine, "typical account, far behind", 0, USUAL)
        _page(engine, "account without events, far behind", 0, WITHOUT_EVENTS)


def _page(engine: Engine, reader: str, after: int, account: AccountId | None) -> None:
    queries, times, count = PostgresQueries(engine), [], 0
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        count = len(queries.feed(after, 100, account).events)
        times.append(time.perf_counter() - begun)
    print(f"  {reader:36} {count:4} events  {statistics.median(times) * 1000:6.2f} ms")


if __name__ == "__main__":
    main()
