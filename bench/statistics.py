"""Measure the statistics queries of a large seller, and the cost of folding events and adding views."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import Engine, text

from adapters.db.core.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.system import SystemClock
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.queries import Interval, PageRequest
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.statistics import Statistics

SELLER, BUYER = AccountId(1), AccountId(2)
ROUNDS: Final = 50

# Two lines per order; payments are spread over a year.
FILL: Final = """
INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
SELECT n, n || '@example.com', '', '', '', false, true, now() FROM generate_series(1, 2) AS n;
INSERT INTO products (id, seller_id, category_id, name, brand, price, currency, description, is_active, created_at,
    updated_at, priced_at, version)
SELECT n, 1, 1, 'Cup', '', 500, 'USD', '', true, now() - interval '2 years', now(), now() - interval '2 years', 1
FROM generate_series(1, :products) AS n;
INSERT INTO price_history (product_id, valid_from, price, currency, cause)
SELECT id, priced_at, price, currency, 'listed' FROM products;
INSERT INTO stock SELECT id, 1000000, 0 FROM products;
INSERT INTO orders (id, command_id, buyer_id, currency, status, created_at, updated_at, paid_at, origin,
    decide_attempts)
SELECT n, gen_random_uuid(), 2, 'USD', 'PAID', at, at, at, 'api', 0
FROM generate_series(1, :orders) AS n,
    LATERAL (SELECT now() - (n / CAST(:orders AS float8)) * interval '365 days' AS at) AS moment;
INSERT INTO order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
SELECT n, position, 1 + (CAST(n AS bigint) * 7919 + position * 104729) % :products, 1, 1 + n % 3, 500, 0
FROM generate_series(1, :orders) AS n, generate_series(1, 2) AS position
"""
PAY: Final = text(
    """
    INSERT INTO outbox (topic, occurred_at, audience, order_id)
    SELECT 'order.paid', now(), ARRAY[2, 1], n
    FROM generate_series(1, :events) AS n
    """
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=100_000, help="products of the seller (default 100,000)")
    parser.add_argument(
        "--lines", type=int, default=1_000_000, help="order lines of the seller, two per order (default 1,000,000)"
    )
    parser.add_argument("--events", type=int, default=20_000, help="payments to fold (default 20,000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(directory) as server:
        upgrade(server.url)
        engine = database_engine(server.url, pool_size=2, statement_timeout=None)
        sizes = {"products": arguments.products, "orders": arguments.lines // 2}
        with engine.begin() as connection:
            for statement in FILL.split(";\n"):
                used = {name: size for name, size in sizes.items() if f":{name}" in statement}
                connection.execute(text(statement), used)
        _analyze(engine)
        _measure(engine, arguments.products, arguments.lines, arguments.events)
        engine.dispose()


def _measure(engine: Engine, products: int, lines: int, events: int) -> None:
    store, clock = PostgresStore(engine), SystemClock()
    rollups = Statistics(store, clock)
    seconds = _seconds(rollups.rebuild)
    print(f"rebuild of {products:,} products and {lines:,} lines: {seconds:.1f} s")
    _analyze(engine)
    queries, now = PostgresQueries(engine), clock.now()
    year = now - timedelta(days=365), now
    for name, read in {
        "seller-stats/": lambda: queries.seller_stats(SELLER),
        "seller-stats/, 365 days": lambda: queries.seller_series(SELLER, "USD", Interval.DAY, *year),
        "sales-report/, 365 days": lambda: queries.sales_report(SELLER, Interval.DAY, *year),
        "stock-outlook/": lambda: queries.stock_outlook(SELLER, now, PageRequest(20)),
        "statistics of a product": lambda: queries.product_statistics(ProductId(products // 2), now),
        "statistics of a product, 365 days": lambda: queries.product_series(ProductId(7), Interval.DAY, *year),
    }.items():
        times = sorted(_seconds(read) for _ in range(ROUNDS))
        print(f"  {name:36} median {statistics.median(times) * 1000:6.2f} ms, slowest {times[-1] * 1000:6.2f} ms")

    def signals() -> object:
        with store.begin() as tx:
            return tx.statistics.counters(ProductId(1), ProductId(min(products, 10_000)), now)

    print(f"  counters of 10,000 products for pricing: {_seconds(signals) * 1000:.0f} ms")
    for batch in (2_000, 100):
        with engine.begin() as connection:
            # These payments are counted twice; the time does not depend on it.
            connection.execute(PAY, {"events": events})
        while OutboxRelay(store, clock).assign_sequence() == 2_000:
            pass
        seconds = _seconds(partial(rollups.catch_up, batch))
        print(f"folding {events:,} payments of two lines in batches of {batch:,}: {seconds / events * 1e6:.0f} µs each")
    counts = {(ProductId(number), clock.now()): 1 for number in range(1, 2_001)}

    def views() -> None:
        with store.begin() as tx:
            tx.products.add_views(counts)

    times = sorted(_seconds(views) for _ in range(10))
    print(f"writing the views of 2,000 products in one batch: median {statistics.median(times) * 1000:.0f} ms")


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _analyze(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


if __name__ == "__main__":
    main()
