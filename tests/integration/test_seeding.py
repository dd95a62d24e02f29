"""Seeding a real database: rows written by COPY are as consistent as rows written by use cases."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, text

from adapters.cli.vocabulary import vocabulary
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.product import Product
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.seeding import AlreadySeeded, Seeded, Seeding
from scalecommerce_core.testing import PlainPasswords, in_memory_market
from tests.integration.real_market import real_market

RNG_SEED = 5


def seeding(market: Market) -> Seeding:
    return Seeding(market.store, market.queries, market.clock, PlainPasswords(), vocabulary=vocabulary(RNG_SEED))


@pytest.fixture(scope="module")
def url(make_database: Callable[[], str]) -> str:
    return make_database()


@pytest.fixture(scope="module")
def market(url: str) -> Iterator[Market]:
    with real_market(url) as market:
        yield market


@pytest.fixture(scope="module")
def made(market: Market) -> Seeded:
    return seeding(market).everything(users=30, products=2_500, orders=3_000, rng_seed=RNG_SEED)


def test_seed_reports_the_rows_that_it_created(made: Seeded, url: str) -> None:
    counted = {
        "accounts": made.users,
        "products": made.products,
        "stock": made.products,
        "price_history": made.price_changes,
        "pricing_policies": made.policies,
        "orders": made.orders,
        "order_lines": made.order_lines,
        "refunds": made.refunds,
        "stock_movements": made.stock_movements,
        "events": 0,
    }
    engine = create_engine(url)
    with engine.connect() as connection:
        for table, rows in counted.items():
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == rows, table  # noqa: S608 - our own names
        statuses = connection.execute(text("SELECT status, count(*) FROM orders GROUP BY status")).all()
    engine.dispose()
    assert dict(made.orders_by_status) == dict(map(tuple, statuses))


def test_seeded_stock_equals_its_ledger(made: Seeded, market: Market) -> None:
    assert made.orders == 3_000
    assert market.queries.stock_discrepancies() == []


def test_seeded_rows_equal_those_of_the_in_memory_store(made: Seeded, market: Market) -> None:
    memory = in_memory_market()
    assert seeding(memory).everything(users=30, products=2_500, orders=3_000, rng_seed=RNG_SEED) == made
    order_ids = [order.id for order in memory.queries.iter_orders()][::50]
    product_ids = [product.id for product in memory.queries.iter_products()][::50]

    def some(of: Market) -> tuple[list[Order], list[Product]]:
        with of.store.begin() as tx:
            return list(tx.orders.lock(order_ids).values()), list(tx.products.lock(product_ids).values())

    assert some(market) == some(memory)


def test_seeded_tables_have_planner_statistics(made: Seeded, url: str) -> None:
    assert made.products == 2_500
    engine = create_engine(url)
    with engine.connect() as connection:
        known = connection.execute(text("SELECT reltuples FROM pg_class WHERE relname = 'products'")).scalar_one()
    engine.dispose()
    assert known >= 2_000


def test_exports_contain_all_pages(made: Seeded, market: Market) -> None:
    products = [product.id for product in market.queries.iter_products()]
    assert len(products) == made.products
    assert products == sorted(set(products))
    assert sum(len(order.lines) for order in market.queries.iter_orders()) == made.order_lines
    seller = next(iter(market.queries.iter_products())).seller.id
    assert {product.seller.id for product in market.queries.iter_products(seller)} == {seller}


def test_the_same_seed_is_rejected_the_second_time(made: Seeded, market: Market) -> None:
    for step in (seeding(market).users, seeding(market).products, seeding(market).orders):
        with pytest.raises(AlreadySeeded):
            step(10, rng_seed=RNG_SEED)
    assert sum(1 for _ in market.queries.iter_orders()) == made.orders


def test_an_interrupted_seed_leaves_completed_batches(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalecommerce_core.services.seeding.service.GROUP_ORDERS", 100)
    monkeypatch.setattr("scalecommerce_core.services.seeding.service.MIN_GROUP_PRODUCTS", 20)

    def interrupt(step: str, done: int, total: int | None) -> None:
        if step == "orders" and (done, total) != (0, None):
            raise KeyboardInterrupt

    with real_market(database) as market:
        with pytest.raises(KeyboardInterrupt):
            seeding(market).everything(users=30, products=300, orders=5_000, rng_seed=RNG_SEED, progress=interrupt)
        assert 0 < sum(1 for _ in market.queries.iter_orders()) < 5_000
        assert market.queries.stock_discrepancies() == []
