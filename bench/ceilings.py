"""Measure the orders and events per second at which deciding and numbering each occupy one core."""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from attrs import frozen
from sqlalchemy import Engine, text

from adapters.db.core.engine import database_engine
from adapters.db.store import PostgresStore
from adapters.system import SystemClock
from bench.orders_load.market import SERVER_SETTINGS, MarketSize, fresh_database
from bench.orders_load.market import seed as seed_template
from bench.orders_load.server import BenchPostgres
from entrypoints.gc_tuning import reduce_gc_frequency
from scalecommerce_core.services.ordering import Ordering
from scalecommerce_core.services.outbox_relay import OutboxRelay

ORDER_BATCH: Final = 500
EVENT_BATCH: Final = 2_000
"""The batches of a worker under load."""
MODES: Final = ("uniform", "hot")

# As intake stores them: two lines of different products, one event.
PLACE: Final = """
WITH new AS (
    SELECT nextval('order_ids') AS id, {first} AS first, {second} AS second, {buyer} AS buyer
    FROM generate_series(1, :orders) AS n
), placed AS (
    INSERT INTO orders (id, command_id, buyer_id, currency, status, created_at, updated_at, origin, decide_attempts)
    SELECT id, gen_random_uuid(), buyer, 'USD', 'CREATED', now(), now(), 'api', 0 FROM new
)
INSERT INTO order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
SELECT new.id, position, product, products.seller_id, 1, products.price, 0
FROM new CROSS JOIN LATERAL (VALUES (1, first), (2, second)) AS line (position, product)
JOIN products ON products.id = product
"""


@frozen
class Cost:
    """CPU time in µs per order or event: of the process, and of its connection's backend in PostgreSQL."""

    process: float
    backend: float

    @property
    def per_second(self) -> float:
        """How many saturate one core: the process waits while its backend works, and the reverse."""
        return 1e6 / (self.process + self.backend)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.ceilings", description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000, help="orders of a round (default 10,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median is shown (default 5)")
    parser.add_argument("--products", type=int, default=100_000, help="products of the market (default 100,000)")
    parser.add_argument("--only", action="append", choices=MODES, help="uniform or hot products (default: both)")
    arguments = parser.parse_args()
    reduce_gc_frequency()
    market = MarketSize(products=arguments.products, buyers=10_000)
    with tempfile.TemporaryDirectory(prefix="bench-ceilings-") as name, BenchPostgres(name, SERVER_SETTINGS) as server:
        seed_template(server, market)
        for mode in arguments.only or MODES:
            engine = database_engine(fresh_database(server, mode), pool_size=1, max_overflow=0)
            try:
                deciding, numbering = _measure(engine, market, mode, arguments.orders, arguments.rounds)
            finally:
                engine.dispose()
            _show(f"{mode}: deciding", "orders", deciding)
            _show(f"{mode}: numbering", "events", numbering)


def _measure(
    engine: Engine, market: MarketSize, mode: str, orders: int, rounds: int
) -> tuple[Sequence[Cost], Sequence[Cost]]:
    store, clock = PostgresStore(engine), SystemClock()
    ordering, relay = Ordering(store, clock), OutboxRelay(store, clock)
    deciding, numbering = [], []
    # The first round fills caches and is not counted.
    for _ in range(rounds + 1):
        _place(engine, market, mode, orders)
        deciding.append(_cost(engine, lambda: ordering.decide(ORDER_BATCH).total))
        numbering.append(_cost(engine, lambda: relay.assign_sequence(EVENT_BATCH)))
    return deciding[1:], numbering[1:]


def _place(engine: Engine, market: MarketSize, mode: str, orders: int) -> None:
    count = market.products
    first = "1" if mode == "hot" else f"1 + n * 7919 % {count}"
    second = "2" if mode == "hot" else f"1 + (n * 104729 + {count // 2}) % {count}"
    buyer = f"{market.first_buyer} + n * 31 % {market.buyers}"
    with engine.begin() as connection:
        connection.execute(text(PLACE.format(first=first, second=second, buyer=buyer)), {"orders": orders})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) orders, order_lines, stock, outbox, events, event_audience"))


def _cost(engine: Engine, step: Callable[[], int]) -> Cost:
    """The cost of each thing that `step` does, called until it does nothing."""
    with engine.connect() as connection:
        pid: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    process, backend, done = time.process_time(), _cpu_seconds(pid), 0
    while count := step():
        done += count
    process, backend = time.process_time() - process, _cpu_seconds(pid) - backend
    return Cost(process / done * 1e6, backend / done * 1e6)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process, from /proc (Linux only)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _show(name: str, unit: str, costs: Sequence[Cost]) -> None:
    process, backend = median(each.process for each in costs), median(each.backend for each in costs)
    rates = sorted(each.per_second for each in costs)
    print(
        f"{name}: {process:.1f} µs of CPU time of the process and {backend:.1f} µs of PostgreSQL,"
        f" {median(rates):,.0f} {unit}/s on one core ({rates[0]:,.0f} to {rates[-1]:,.0f})"
    )


if __name__ == "__main__":
    main()
