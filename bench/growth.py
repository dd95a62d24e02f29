"""Compare the latencies of orders and reads at two numbers of orders, and with all but the newest archived.

Three databases on one server: `small` has `--hot` orders, `large` has `--orders`, and `archived` as many, of which all
but `--hot` are archived; `--without-large` leaves out the second. The measurements alternate between them. The rows
are written by SQL, without foreign key checks, and the indexes of archived orders and lines are built afterwards.
Besides the elapsed time, the CPU time of this process and of the server's process is measured, which suffers less from
other work on the machine.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import text

from adapters.db.core.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.embedded.postgres import DATABASE, ROLE, EmbeddedPostgres
from adapters.system import RandomIds, SystemClock
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import Order, OrderStatus
from scalecommerce_core.queries import OrderFilter, PageRequest
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import Ordering, PlaceOrder
from scalecommerce_core.services.results import unwrap_single

SELLERS: Final = 100
PRODUCTS: Final = 10_000
ORDERS_PER_BUYER: Final = 50
BATCH: Final = 500
"""Orders that are archived in one transaction."""
SAMPLES_FOR_ARCHIVER: Final = 20_000

PEOPLE: Final = f"""
INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
SELECT n, n || '@example.com', '', '', '', false, true, now() FROM generate_series(1, {SELLERS} + :buyers) AS n;
INSERT INTO products (id, seller_id, category_id, name, brand, price, currency, description, is_active, created_at,
    updated_at, priced_at, version)
SELECT n, 1 + n % {SELLERS}, 1, 'Cup', '', 500, 'USD', '', true, now() - interval '2 years', now(),
    now() - interval '2 years', 1
FROM generate_series(1, {PRODUCTS}) AS n;
INSERT INTO price_history (product_id, valid_from, price, currency, cause)
SELECT id, priced_at, price, currency, 'listed' FROM products;
INSERT INTO stock SELECT id, 1000000, 0 FROM products
"""  # noqa: S608 - constants
# One line and one payment per order; orders are a minute apart, whatever their number.
ORDERS: Final = f"""
INSERT INTO {{prefix}}orders (id, command_id, buyer_id, currency, status, created_at, updated_at, paid_at, origin,
    decide_attempts, decided_at, has_expired, is_cancelled_by_staff{{checksum}})
SELECT n, gen_random_uuid(), {SELLERS} + 1 + n * 7919 % :buyers, 'USD', 'PAID', at, at, at, 'api', 0, at, false,
    false{{zero}}
FROM generate_series(CAST(:first AS bigint), :last) AS n,
    LATERAL (SELECT now() - (:total - n) * interval '1 minute' AS at) AS moment;
INSERT INTO {{prefix}}order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
SELECT n, 1, product, 1 + product % {SELLERS}, 1 + n % 3, 500, 0
FROM generate_series(CAST(:first AS bigint), :last) AS n,
    LATERAL (SELECT 1 + n * 104729 % {PRODUCTS} AS product) AS chosen;
INSERT INTO {{prefix}}payments (id, order_id, amount, currency, method, created_at, deadline, status, updated_at,
    checks, reference, refunded)
SELECT gen_random_uuid(), n, (1 + n % 3) * 500, 'USD', 'tok_visa', at, at, 'CAPTURED', at, 0,
    'sandbox-' || gen_random_uuid(), 0
FROM generate_series(CAST(:first AS bigint), :last) AS n,
    LATERAL (SELECT now() - (:total - n) * interval '1 minute' AS at) AS moment;
INSERT INTO {{prefix}}stock_movements (product_id, quantity, kind, occurred_at, order_id{{id}})
SELECT 1 + n * 104729 % {PRODUCTS}, -(1 + n % 3), 'sale', now() - (:total - n) * interval '1 minute', n{{number}}
FROM generate_series(CAST(:first AS bigint), :last) AS n
"""  # noqa: S608 - constants
ROLLUPS: Final = f"""
INSERT INTO seller_sales (seller_id, currency, orders, units, revenue)
SELECT n, 'USD', :total / {SELLERS}, :total / {SELLERS}, :total FROM generate_series(1, {SELLERS}) AS n;
INSERT INTO product_sales (product_id, orders, units, revenue)
SELECT n, :total / {PRODUCTS}, :total / {PRODUCTS}, :total FROM generate_series(1, {PRODUCTS}) AS n;
INSERT INTO product_ranks (product_id, seller_id, currency, revenue)
SELECT id, seller_id, 'USD', id FROM products;
SELECT setval('order_ids', CAST(:total AS bigint))
"""  # noqa: S608 - constants
SIZES: Final = text(
    """
    SELECT sum(pg_total_relation_size(oid)) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        AND relname IN (
            :prefix || 'orders', :prefix || 'order_lines', :prefix || 'payments', :prefix || 'stock_movements'
        )
    """
)

INDEXES: Final = text(
    """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    JOIN pg_class ON pg_class.oid = indrelid
    WHERE relnamespace = 'public'::regnamespace AND relname LIKE :tables AND NOT indisunique
    """
)


def check(is_right: object) -> None:
    """Raise an error if a statement did not return what it must."""
    if not is_right:
        raise RuntimeError("The engine did not return what was expected.")


class Database:
    """A database with `total` orders, all but the last `hot` archived."""

    def __init__(self, server: EmbeddedPostgres, name: str, total: int, hot: int) -> None:
        self.name, self.total, self.hot = name, total, hot
        self.buyers = total // ORDERS_PER_BUYER
        database = f"growth_{name}"
        admin = database_engine(server.administrator_url_of(DATABASE))
        with admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text(f"CREATE DATABASE {database} OWNER {ROLE}"))
        admin.dispose()
        upgrade(server.url_of(database))
        self.administrator = database_engine(server.administrator_url_of(database), statement_timeout=None)
        self.engine = database_engine(server.url_of(database), pool_size=1)
        self.store, self.queries = PostgresStore(self.engine), PostgresQueries(self.engine)
        self.ordering = Ordering(self.store, SystemClock())
        self.ids = RandomIds()
        self.backend: Path | None = None

    def fill(self) -> None:
        begun = time.perf_counter()
        self._run(PEOPLE)
        first_hot = self.total - self.hot + 1
        if first_hot > 1:
            archive = {"prefix": "archived_", "checksum": ", checksum", "zero": ", 0", "id": ", id", "number": ", n"}
            with self._without_indexes("archived_order%"):
                self._run(ORDERS.format(**archive), first=1, last=first_hot - 1)
        hot = {"prefix": "", "checksum": "", "zero": "", "id": "", "number": ""}
        self._run(ORDERS.format(**hot), first=first_hot, last=self.total)
        self._run(ROLLUPS)
        with self.administrator.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("VACUUM (ANALYZE)"))
            connection.execute(text("CHECKPOINT"))
        print(f"{self.name}: filled in {time.perf_counter() - begun:.0f} s", flush=True)

    @contextmanager
    def _without_indexes(self, tables: str) -> Iterator[None]:
        """Build the indexes of these tables afterwards, except those of keys."""
        with self.administrator.begin() as connection:
            found = connection.execute(INDEXES, {"tables": tables}).all()
            for name, _ in found:
                connection.execute(text(f"DROP INDEX {name}"))
        yield
        for _, definition in found:
            with self.administrator.begin() as connection:
                connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
                connection.execute(text(definition))

    def _run(self, statements: str, **numbers: int) -> None:
        numbers |= {"buyers": self.buyers, "total": self.total}
        for statement in statements.split(";\n"):
            with self.administrator.begin() as connection:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                used = {name: number for name, number in numbers.items() if f":{name}" in statement}
                connection.execute(text(statement), used)

    def bytes_per_order(self, prefix: str, orders: int) -> float:
        with self.engine.connect() as connection:
            return float(connection.execute(SIZES, {"prefix": prefix}).scalar_one()) / orders

    def cpu_seconds(self) -> float:
        """CPU time of this process and of the server's process of the only connection."""
        if self.backend is None:
            with self.engine.connect() as connection:
                self.backend = Path(
                    f"/proc/{connection.execute(text('SELECT pg_backend_pid()')).scalar_one()}/schedstat"
                )
        return time.process_time() + int(self.backend.read_text().split()[0]) / 1e9

    # --- what is measured

    def place_and_decide(self, rng: random.Random) -> None:
        buyer = AccountId(SELLERS + 1 + rng.randrange(self.buyers))
        product = ProductId(1 + rng.randrange(PRODUCTS))
        command = PlaceOrder(self.ids.command(), buyer, [OrderLineRequest(product, 1)])
        check(isinstance(unwrap_single(self.ordering.place([command])), Order))
        check(self.ordering.decide(1).total == 1)

    def list_of_buyer(self, rng: random.Random) -> None:
        page = self.queries.orders_of_buyer(AccountId(SELLERS + 1 + rng.randrange(self.buyers)), PageRequest(20))
        check(len(page.rows) == 20)

    def second_page_of_buyer(self, rng: random.Random) -> None:
        buyer = AccountId(SELLERS + 1 + rng.randrange(self.buyers))
        (oldest,) = self.queries.orders_of_buyer(buyer, PageRequest(1)).rows
        check(self.queries.orders_of_buyer(buyer, PageRequest(20, after=(oldest.id - 1,))).rows)

    def one_order(self, rng: random.Random) -> None:
        id_ = OrderId(1 + rng.randrange(self.total))
        check(self.queries.orders([id_]))

    def sales_of_seller(self, rng: random.Random) -> None:
        check(len(self.queries.sales(AccountId(1 + rng.randrange(SELLERS)), PageRequest(20)).rows) == 20)

    def list_of_staff(self, _rng: random.Random) -> None:
        check(len(self.queries.all_orders(PageRequest(20), OrderFilter(status=OrderStatus.PAID)).rows) == 20)

    def statistics_of_seller(self, rng: random.Random) -> None:
        check(self.queries.seller_stats(AccountId(1 + rng.randrange(SELLERS))).orders)


MEASURED: Final[dict[str, Callable[[Database, random.Random], None]]] = {
    "place and decide an order": Database.place_and_decide,
    "order list of a buyer": Database.list_of_buyer,
    "order list of a buyer, from its second order": Database.second_page_of_buyer,
    "one order": Database.one_order,
    "sales of a seller": Database.sales_of_seller,
    "orders of staff by status": Database.list_of_staff,
    "seller statistics": Database.statistics_of_seller,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000_000, help="orders of the large databases (20,000,000)")
    parser.add_argument("--hot", type=int, default=100_000, help="hot orders of the small ones (100,000)")
    parser.add_argument("--rounds", type=int, default=400, help="samples per figure and database (400)")
    parser.add_argument("--without-large", action="store_true", help="leave out the database whose orders are all hot")
    parser.add_argument("--directory", help="for the files of the server (default: a temporary directory)")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory) as directory,
        EmbeddedPostgres(
            directory, {"shared_buffers": "1GB", "max_wal_size": "8GB", "wal_level": "minimal", "max_wal_senders": "0"}
        ) as server,
    ):
        databases = [
            Database(server, "small", arguments.hot, arguments.hot),
            *([] if arguments.without_large else [Database(server, "large", arguments.orders, arguments.orders)]),
            Database(server, "archived", arguments.orders, arguments.hot),
        ]
        for database in databases:
            database.fill()
        small, *_, archived = databases
        hot_bytes = databases[-2].bytes_per_order("", databases[-2].total)
        archive_bytes = archived.bytes_per_order("archived_", archived.total - archived.hot)
        print(f"bytes per order with lines, payment and movement: hot {hot_bytes:.0f}, archived {archive_bytes:.0f}")
        measure(databases, arguments.rounds)
        measure_archiver(small)
        for database in databases:
            database.engine.dispose()
            database.administrator.dispose()


def measure(databases: list[Database], rounds: int) -> None:
    print(
        f"Of {rounds} samples, divided by those of `small`: median CPU time, median and 99th percentile of elapsed time"
    )
    for name, action in MEASURED.items():
        taken: dict[str, list[tuple[float, float]]] = {database.name: [] for database in databases}
        generators = {database.name: random.Random(7) for database in databases}
        for number in range(-20, rounds):
            first = number % len(databases)
            for database in databases[first:] + databases[:first]:
                cpu, begun = database.cpu_seconds(), time.perf_counter()
                action(database, generators[database.name])
                elapsed, used = time.perf_counter() - begun, database.cpu_seconds() - cpu
                if number >= 0:
                    taken[database.name].append((used, elapsed))
        figures = {key: _figures(samples) for key, samples in taken.items()}
        base = figures["small"]
        shown = [
            f"{key} {', '.join(f'{value:.2f} ms ({value / of:.2f})' for value, of in zip(found, base, strict=True))}"
            for key, found in figures.items()
        ]
        print(f"{name}: {'; '.join(shown)}", flush=True)


def _figures(samples: list[tuple[float, float]]) -> tuple[float, float, float]:
    """The median of the CPU time, and the median and the 99th percentile of the elapsed time, in ms."""
    used, elapsed = zip(*samples, strict=True)
    p99 = statistics.quantiles(elapsed, n=100)[98]
    return statistics.median(used) * 1_000, statistics.median(elapsed) * 1_000, p99 * 1_000


def measure_archiver(database: Database) -> None:
    """Archive some of the oldest orders, and restore one at a time."""
    horizon = SystemClock().now()
    begun, done = time.perf_counter(), 0
    while done < min(SAMPLES_FOR_ARCHIVER, database.total // 2):
        with database.store.begin() as tx:
            done += tx.orders.archive(BATCH, horizon)
    each = (time.perf_counter() - begun) / done
    restored = []
    for id_ in range(1, 101):
        begun = time.perf_counter()
        with database.store.begin() as tx:
            check(tx.orders.lock([OrderId(id_)]))
        restored.append(time.perf_counter() - begun)
    wrong = database.queries.archive_discrepancies()
    print(f"archived {1 / each:,.0f} orders/s; restoring one takes {statistics.median(restored) * 1000:.1f} ms")
    print(f"differences in the archive: {len(wrong)}")


if __name__ == "__main__":
    main()
