"""Compare weekly runs of a pricing policy with a bare `UPDATE … FROM` of the same prices on the same server.

The engine's side is a complete run: read signals, decide, store the decisions with their inputs, check the circuit
breaker, and write prices, price history, events and policy state. The bare statement reads the new prices from a narrow
table and updates a copy of `products` with the same rows, indexes and fill factor. Both tables are updated equally
often, and vacuumed and checkpointed before each measurement.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from attrs import frozen

from adapters.db.core.connection_parameters import open_connection
from adapters.db.core.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.store import PostgresStore
from bench.orders_load.market import SERVER_SETTINGS
from bench.orders_load.server import BenchPostgres
from bench.repricing_orders import orders
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, RunId
from scalecommerce_core.pricing.runs import Run, RunStatus
from scalecommerce_core.services.pricing import CreatePolicy, Pricing
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.results import unwrap_single

WEEK: Final = timedelta(days=7)
SEED: Final = """
INSERT INTO accounts (id, email, first_name, last_name, bio, is_active, is_staff, created_at)
VALUES (1, 'seller@example.com', 'S', 'S', '', true, false, now());
INSERT INTO products (id, seller_id, category_id, name, brand, description, price, currency, cost, is_active,
                      created_at, updated_at, priced_at, version)
SELECT n, 1, 1 + n % 16, 'Product ' || n, 'Brand ' || n % 100, 'One of many', 1000 + n % 5000, 'USD',
       (1000 + n % 5000) * 6 / 10, true, now() - interval '95 days', now(), now() - interval '95 days', 1
FROM generate_series(1, {count}) n;
INSERT INTO price_history (product_id, valid_from, price, currency, cause)
SELECT id, priced_at, price, currency, 'listed' FROM products;
INSERT INTO stock (product_id, on_hand, reserved) SELECT id, 50, 0 FROM products;
INSERT INTO product_views (product_id, views) SELECT id, 400 + id % 400 FROM products
ON CONFLICT (product_id) DO UPDATE SET views = excluded.views;
INSERT INTO product_sales (product_id, orders, units, revenue) SELECT id, id % 20, id % 20, price * (id % 20)
FROM products;
INSERT INTO price_sales (product_id, valid_from, views, demand_views, orders, units, revenue)
SELECT id, priced_at, 400 + id % 400, 400 + id % 400, id % 20, id % 20, price * (id % 20) FROM products;
"""
COPY: Final = """
CREATE TABLE bare (LIKE products INCLUDING ALL) WITH (fillfactor = {fillfactor});
INSERT INTO bare (id, seller_id, category_id, name, brand, description, price, currency, cost, is_active,
                  created_at, updated_at, priced_at, version)
SELECT id, seller_id, category_id, name, brand, description, price, currency, cost, is_active,
       created_at, updated_at, priced_at, version FROM products ORDER BY id;
"""
A_WEEK: Final = """
UPDATE product_views SET views = views + 200 + product_id % 400;
UPDATE product_sales SET units = units + product_id % 20, orders = orders + product_id % 20,
    revenue = revenue + price * (product_id % 20)
FROM products WHERE id = product_id;
INSERT INTO price_sales (product_id, valid_from, views, demand_views, orders, units, revenue)
SELECT id, priced_at, 200 + id % 400, 200 + id % 400, id % 20, id % 20, price * (id % 20) FROM products
ON CONFLICT (product_id, valid_from) DO UPDATE SET views = price_sales.views + excluded.views,
    demand_views = price_sales.demand_views + excluded.demand_views, orders = price_sales.orders + excluded.orders,
    units = price_sales.units + excluded.units, revenue = price_sales.revenue + excluded.revenue;
"""
MOVES: Final = """
CREATE TABLE moves AS SELECT product_id AS id, new_price AS price FROM pricing_decisions
WHERE run_id = %s AND new_price <> old_price AND outcome = 0 ORDER BY product_id
"""
BARE: Final = "UPDATE bare SET price = moves.price FROM moves WHERE moves.id = bare.id"
COUNTED: Final = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s"


@frozen
class AheadClock:
    """The current time plus a constant."""

    ahead: timedelta

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@frozen
class SideResult:
    """Figures of one side: updated rows, seconds, the share of HOT updates (`hot`), and bytes of WAL."""

    rows: int
    seconds: float
    hot: float
    wal: int
    processor: float
    """CPU seconds of the clients and their database sessions."""

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.repricing", description=__doc__)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=4, help="weeks; the first run has no policy state (default 4)")
    parser.add_argument("--workers", type=int, default=2, help="processes that share a run (default 2)")
    parser.add_argument(
        "--fillfactor", type=int, help="fill factor of `products` and its copy (default: that of the schema)"
    )
    parser.add_argument("--orders", action="store_true", help="measure orders over HTTP with and without runs instead")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of each interval of orders (default 20)")
    parser.add_argument("--statements", action="store_true", help="print the statements that took the most time")
    arguments = parser.parse_args()
    if arguments.orders:
        orders(arguments.products, arguments.rounds, arguments.seconds)
        return
    settings = dict(SERVER_SETTINGS)
    if arguments.statements:
        settings["shared_preload_libraries"] = "pg_stat_statements"
    with (
        tempfile.TemporaryDirectory(prefix="scalecommerce-bench-") as directory,
        BenchPostgres(Path(directory), settings) as server,
    ):
        _Bench(server.url, arguments).measure()


class _Bench:
    def __init__(self, url: str, arguments: argparse.Namespace) -> None:
        self._url = url
        self._arguments = arguments
        self._connection = open_connection(url, autocommit=True)

    def measure(self) -> None:
        self._seed()
        policy_id = self._policy()
        turns = []
        for week in range(self._arguments.rounds):
            clock = AheadClock(week * WEEK)
            if week:
                self._settle(A_WEEK)
            run, ours = self._ours(policy_id, clock)
            bare = self._bare(run.id)
            turns.append((ours, bare))
            _print_week(week, run, self._phases(run), ours, bare)
            if self._arguments.statements:
                self._statements()
        ratios = [ours.rate / bare.rate for ours, bare in turns]
        print(f"first run {ratios[0]:.2f}")
        if later := turns[1:]:
            print(
                f"later runs, median: engine {statistics.median(ours.rate for ours, _ in later):,.0f}/s, "
                f"bare {statistics.median(bare.rate for _, bare in later):,.0f}/s, "
                f"ratio {statistics.median(ratios[1:]):.2f} ({min(ratios[1:]):.2f} to {max(ratios[1:]):.2f})"
            )

    def _seed(self) -> None:
        begun = time.perf_counter()
        upgrade(self._url)
        execute = self._connection.execute
        if self._arguments.fillfactor:
            execute(f"ALTER TABLE products SET (fillfactor = {self._arguments.fillfactor})")
        (options,) = one_row(execute("SELECT reloptions FROM pg_class WHERE relname = 'products'"))
        fillfactor = next(option.partition("=")[2] for option in options if option.startswith("fillfactor"))
        execute(SEED.format(count=self._arguments.products))
        execute(COPY.format(fillfactor=fillfactor))
        if self._arguments.statements:
            execute("CREATE EXTENSION pg_stat_statements")
        self._settle()
        print(f"{self._arguments.products:,} products seeded in {time.perf_counter() - begun:.0f} s", flush=True)

    def _settle(self, *statements: str) -> None:
        """Run the statements, then vacuum and checkpoint, so that the next measurement starts without a backlog."""
        for statement in (*statements, "VACUUM (ANALYZE)", "CHECKPOINT"):
            self._connection.execute(statement)

    def _policy(self) -> PolicyId:
        engine = database_engine(self._url)
        rails = {"breaker_share": 1, "breaker_mean": 1, "dead_band": 0}
        command = CreatePolicy(AccountId(1), {"name": "Learn", "guardrails": rails})
        policy = unwrap_single(Pricing(PostgresStore(engine), AheadClock(timedelta(0))).create([command]))
        engine.dispose()
        return policy.id

    def _ours(self, policy_id: PolicyId, clock: AheadClock) -> tuple[Run, SideResult]:
        workers = self._arguments.workers
        # Started before the measurement, as the workers of a running engine.
        context = multiprocessing.get_context("spawn")
        ready, run_ids = context.Semaphore(0), context.SimpleQueue()
        spent = context.SimpleQueue()
        others = [
            context.Process(target=_work_on_run, args=(self._url, clock, ready, run_ids, spent))
            for _ in range(workers - 1)
        ]
        for each in others:
            each.start()
        for _ in others:
            ready.acquire()
        engine = database_engine(self._url)
        repricing = Repricing(PostgresStore(engine), clock)
        repricing.unfinished()
        processor = _Processor([engine])
        with self._counted("products") as counted:
            begun = time.perf_counter()
            run_id = repricing.begin(policy_id).id
            for _ in others:
                run_ids.put(run_id)
            run = repricing.finish(run_id)
            seconds = time.perf_counter() - begun
            used = processor.used() + sum(spent.get() for _ in others)
            for each in others:
                each.join()
            engine.dispose()
        if run.status is not RunStatus.DONE:
            raise SystemExit(run.note)
        hot, wal = counted
        return run, SideResult(run.written, seconds, hot, wal, used)

    def _bare(self, run_id: RunId) -> SideResult:
        self._connection.execute(MOVES, [run_id])
        self._settle()
        with self._counted("bare") as counted, open_connection(self._url, autocommit=True) as connection:
            before = _spent_by(connection.info.backend_pid)
            begun = time.perf_counter()
            rows = connection.execute(BARE).rowcount
            seconds = time.perf_counter() - begun
            used = _spent_by(connection.info.backend_pid) - before
        self._connection.execute("DROP TABLE moves")
        hot, wal = counted
        return SideResult(rows, seconds, hot, wal, used)

    @contextmanager
    def _counted(self, table: str) -> Iterator[list[Any]]:
        """Yield a list that contains, after the block, the share of HOT updates and the bytes of WAL."""
        found: list[Any] = []
        before, at = one_row(self._connection.execute(COUNTED, [table])), self._wal()
        yield found
        wal = self._wal() - at
        time.sleep(1.5)  # sessions report their statistics at their end or within a second
        after = one_row(self._connection.execute(COUNTED, [table]))
        found += [(after[1] - before[1]) / max(after[0] - before[0], 1), wal]

    def _wal(self) -> int:
        (at,) = one_row(self._connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))
        return int(at)

    def _phases(self, run: Run) -> dict[str, float]:
        (decided,) = one_row(
            self._connection.execute("SELECT max(decided_at) FROM pricing_ranges WHERE run_id = %s", [run.id])
        )
        return {
            "deciding": (decided - run.started_at).total_seconds(),
            "writing": ((run.finished_at or decided) - decided).total_seconds(),
        }

    def _statements(self) -> None:
        rows = self._connection.execute(
            """
            SELECT total_exec_time / 1000, calls, rows, wal_bytes / 1000000,
                   left(regexp_replace(query, '\\s+', ' ', 'g'), 90)
            FROM pg_stat_statements WHERE query NOT LIKE '%%VACUUM%%' ORDER BY 1 DESC LIMIT 14
            """
        ).fetchall()
        for seconds, calls, count, wal, query in rows:
            print(f"    {seconds:8.2f} s {calls:6} calls {count:9} rows {wal:8.0f} MB  {query}")
        self._connection.execute("SELECT pg_stat_statements_reset()")


def _work_on_run(url: str, clock: AheadClock, ready: Any, run_ids: Any, spent: Any) -> None:
    engine = database_engine(url)
    repricing = Repricing(PostgresStore(engine), clock)
    repricing.unfinished()
    processor = _Processor([engine])
    ready.release()
    repricing.finish(run_ids.get())
    spent.put(processor.used())
    engine.dispose()


class _Processor:
    """CPU time of this process and its database session."""

    def __init__(self, engines: list[Any]) -> None:
        with engines[0].connect() as connection:
            self._session = connection.connection.driver_connection.info.backend_pid
        self._before = self._now()

    def _now(self) -> float:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return own.ru_utime + own.ru_stime + _spent_by(self._session)

    def used(self) -> float:
        return self._now() - self._before


def _spent_by(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one_row(cursor: "psycopg.Cursor[Any]") -> Any:
    (row,) = cursor.fetchall()
    return row


def _print_week(week: int, run: Run, phases: dict[str, float], ours: SideResult, bare: SideResult) -> None:
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items())
    of_processor = (bare.processor / bare.rows) / (ours.processor / ours.rows)
    print(
        f"week {week}: {run.tally.decided:,} decided, {run.written:,} written\n"
        f"  engine {ours.rate:9,.0f}/s in {ours.seconds:5.1f} s ({spent}), HOT {ours.hot:.0%}, "
        f"WAL {ours.wal / 1e6:,.0f} MB, CPU {ours.processor:.1f} s\n"
        f"  bare   {bare.rate:9,.0f}/s in {bare.seconds:5.1f} s, HOT {bare.hot:.0%}, "
        f"WAL {bare.wal / 1e6:,.0f} MB, CPU {bare.processor:.1f} s\n"
        f"  ratio {ours.rate / bare.rate:.2f}; ratio of CPU time {of_processor:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(datetime.now(UTC).isoformat(timespec="seconds"))
    main()
