"""Measure the bytes that an order of two lines adds to each table and index, on a new PostgreSQL."""

import argparse
import random
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Engine, text

from adapters.db.core.engine import database_engine
from adapters.db.store import PostgresStore
from adapters.payments.sandbox import SandboxGateway
from adapters.system import RandomIds, SystemClock
from bench.orders_load.market import MarketSize, fresh_database, seed, settle_database
from bench.orders_load.server import BenchPostgres
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import Ordering, OrderRules, PlaceOrder
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.payments import Payments, PayOrder
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.statistics import Statistics

BATCH: Final = 100
"""Orders that are placed, decided and paid together."""
VACUUMS: Final = 4
"""Autovacuum runs whenever a fifth of a table has changed; at the size of this market, it would run too late."""
NO_QUOTAS: Final = OrderRules(quotas=OrderQuotas(open_orders=0))

_SIZES: Final = text(
    """
    SELECT owner.relname, part.relname, pg_relation_size(part.oid) + CASE WHEN part.oid = owner.oid THEN
        pg_table_size(owner.oid) - pg_relation_size(owner.oid) ELSE 0 END
    FROM pg_class AS owner
    LEFT JOIN pg_index ON indrelid = owner.oid
    JOIN pg_class AS part ON part.oid IN (owner.oid, indexrelid)
    WHERE owner.relkind = 'r' AND owner.relnamespace = CAST(current_schema() AS regnamespace)
    """
)
FOR_EVER: Final = "for ever"
EVENTS: Final = "EVENT_RETENTION_DAYS"
BY_PRODUCT: Final = "per product, seller and hour"
MINUTES: Final = "minutes"
SANDBOX: Final = "in the sandbox gateway"
KEPT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("orders", "order_lines", "payments", "stock_movements"), FOR_EVER),
    **dict.fromkeys(("events", "event_audience"), EVENTS),
    **dict.fromkeys(("change_log", "outbox"), MINUTES),
    **dict.fromkeys(("sandbox_charges", "sandbox_refunds"), SANDBOX),
}
"""How long the rows of an order are kept. Other tables have no rows for orders, but for what was sold: `BY_PRODUCT`."""

Sizes = Mapping[tuple[str, str], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=5_000, help="orders of each kind (default 5,000)")
    parser.add_argument("--products", type=int, default=5_000, help="products that are bought (default 5,000)")
    parser.add_argument("--buyers", type=int, default=5_000, help="accounts that buy (default 5,000)")
    arguments = parser.parse_args()
    market = MarketSize(products=arguments.products, buyers=arguments.buyers)
    with tempfile.TemporaryDirectory() as directory, BenchPostgres(directory, {"fsync": "off"}) as server:
        seed(server, market)
        measured = {
            kind: _measure(fresh_database(server, kind), market, arguments.orders, is_paid=kind == "paid")
            for kind in ("reserved", "paid")
        }
    _print(measured)


def _measure(url: str, market: MarketSize, orders: int, *, is_paid: bool) -> Mapping[tuple[str, str], float]:
    """Bytes per order of each table, and of each of its indexes."""
    engine = database_engine(url, statement_timeout=None)
    try:
        # The first orders also make the rows that each product, seller and hour has once.
        _trade(engine, url, market, orders, is_paid=is_paid)
        before = _sizes(engine)
        _trade(engine, url, market, orders, is_paid=is_paid)
        after = _sizes(engine)
        return {name: (size - before.get(name, 0)) / orders for name, size in after.items()}
    finally:
        engine.dispose()


def _trade(engine: Engine, url: str, market: MarketSize, orders: int, *, is_paid: bool) -> None:
    store, clock, ids = PostgresStore(engine), SystemClock(), RandomIds()
    ordering, relay, statistics = Ordering(store, clock, NO_QUOTAS), OutboxRelay(store, clock), Statistics(store, clock)
    payments = Payments(store, clock, ids=ids, gateway=SandboxGateway(engine))
    draw = random.Random(orders)
    batches = range(0, orders, BATCH)
    for number, first in enumerate(batches, start=1):
        commands = [
            PlaceOrder(ids.command(), _buyer(draw, market), _lines(draw, market))
            for _ in range(min(BATCH, orders - first))
        ]
        placed = [unwrap_single([result]) for result in ordering.place(commands)]
        while ordering.decide().total:
            pass
        if is_paid:
            for result in payments.pay([PayOrder(order.id, order.buyer_id) for order in placed]):
                unwrap_single([result])
        while relay.assign_sequence():
            pass
        statistics.catch_up()
        if number % max(1, len(batches) // VACUUMS) == 0:
            settle_database(url)
    settle_database(url)


def _buyer(draw: random.Random, market: MarketSize) -> AccountId:
    return AccountId(draw.randint(market.first_buyer, market.last_buyer))


def _lines(draw: random.Random, market: MarketSize) -> Sequence[OrderLineRequest]:
    return [OrderLineRequest(ProductId(product), 1) for product in draw.sample(range(1, market.products + 1), 2)]


def _sizes(engine: Engine) -> Sizes:
    with engine.connect() as connection:
        return {(table, part): int(size) for table, part, size in connection.execute(_SIZES)}


def _print(measured: Mapping[str, Mapping[tuple[str, str], float]]) -> None:
    reserved, paid = measured["reserved"], measured["paid"]
    totals = dict.fromkeys((FOR_EVER, EVENTS, BY_PRODUCT, MINUTES, SANDBOX), (0.0, 0.0))
    print(f"{'table or index':<36}{'reserved':>10}{'paid':>10}  kept")
    for table, part in sorted(paid, key=lambda name: (name[0], name[1] != name[0], name[1])):
        sizes, kept = (reserved[table, part], paid[table, part]), KEPT.get(table, BY_PRODUCT)
        totals[kept] = _sum((totals[kept], sizes))
        if max(sizes) >= 1:
            _print_row(part if part == table else f"  {part}", sizes, kept)
    for kept, of_kept in totals.items():
        _print_row("sum", of_kept, kept)
    _print_row("orders, payments and events", _sum((totals[FOR_EVER], totals[EVENTS])))
    _print_row("everything", _sum(totals.values()))


def _sum(sizes: Iterable[tuple[float, float]]) -> tuple[float, float]:
    reserved, paid = zip(*sizes, strict=True)
    return sum(reserved), sum(paid)


def _print_row(name: str, sizes: tuple[float, float], kept: str = "") -> None:
    print(f"{name:<36}{sizes[0]:>10,.0f}{sizes[1]:>10,.0f}  {kept}".rstrip())


if __name__ == "__main__":
    main()
