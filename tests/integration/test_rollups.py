"""Rollups under concurrent folds and a rebuild, lost connections, and upgrades from earlier revisions."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Engine, text

from adapters.db import migrate
from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.errors import Conflict
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.order import OrderStatus, RefundLine
from scalecommerce_core.domain.product_views import ViewBatch
from scalecommerce_core.ports import STATISTICS_CONSUMER
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.catalog import Catalog
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.statistics import FoldResult, Statistics
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.contracts.stage import NOW, Stage
from scalecommerce_core.testing.contracts.statistics import counters, fold
from scalecommerce_core.testing.failpoints import FailPoints, Seams
from tests.integration.recorded_statements import recorded_statements
from tests.integration.test_db_statements import nodes

ORDERS = 40
SELLERS = 2


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database, pool_size=20)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> PostgresStore:
    return PostgresStore(engine)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


def sellers_and_products(stage: Stage) -> tuple[list[AccountId], list[ProductId]]:
    sellers = [stage.account() for _ in range(SELLERS)]
    return sellers, [stage.product(sellers[n % SELLERS], price=2_00, stock=100_000) for n in range(6)]


def test_concurrent_folds_and_a_rebuild_count_each_sale_once(
    engine: Engine, store: PostgresStore, clock: SettableClock
) -> None:
    stage, done = Stage(store), threading.Event()
    sellers, products = sellers_and_products(stage)
    buyers = [stage.account() for _ in range(3)]
    statistics, relay, catalog = Statistics(store, clock), OutboxRelay(store, clock), Catalog(store, clock)

    def buy(buyer: AccountId) -> None:
        for number in range(ORDERS):
            chosen = {products[number % 6]: 2, products[(number + 1) % 6]: 1}
            order = stage.order(buyer, chosen, OrderStatus.PAID)
            if number % 4 == 0:
                stage.refund(order, [RefundLine(products[number % 6], 1)])

    def view_products() -> None:
        for _ in range(ORDERS):
            catalog.record_views(ViewBatch(uuid4().hex, dict.fromkeys(((product, NOW) for product in products), 1)))

    def repeated(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            while not done.is_set():
                work()

        return run

    background = (
        repeated(lambda: relay.assign_sequence(7)),
        repeated(lambda: statistics.fold(9)),
        repeated(lambda: statistics.fold(5)),
        repeated(lambda: (statistics.rebuild(sellers[0]), done.wait(0.05))),
        repeated(lambda: (statistics.rebuild(), done.wait(0.1))),
    )
    queries = PostgresQueries(engine)
    with ThreadPoolExecutor(len(background) + 5) as pool:
        background_runs = [pool.submit(each) for each in background]
        foreground_runs = [pool.submit(buy, buyer) for buyer in buyers] + [pool.submit(view_products) for _ in range(2)]
        try:
            while not all(each.done() for each in foreground_runs):
                assert queries.statistics_discrepancies() == []
        finally:
            done.set()
        for each in (*foreground_runs, *background_runs):
            each.result()
    fold(store)
    assert queries.statistics_discrepancies() == []
    with store.begin() as tx:
        found = tx.statistics.counters(products[0], products[-1], NOW)
    assert sum(each.orders for each in found) == 2 * ORDERS * len(buyers)
    assert sum(each.units for each in found) == 3 * ORDERS * len(buyers)
    assert sum(each.refunded_units for each in found) == ORDERS // 4 * len(buyers)
    assert [each.views for each in found] == [2 * ORDERS] * 6
    stats = [queries.seller_stats(seller) for seller in sellers]
    assert [each.orders for each in stats] == [ORDERS * len(buyers)] * SELLERS
    assert [each.total_views for each in stats] == [3 * 2 * ORDERS] * SELLERS
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")) == 0


@pytest.mark.parametrize("seam", ["statistics.add:before", "statistics.add:after", "commit:before", "commit:after"])
def test_a_fold_that_loses_its_connection_counts_nothing_twice(
    engine: Engine, store: PostgresStore, clock: SettableClock, seam: str
) -> None:
    stage = Stage(store)
    product = stage.product(price=2_00)
    stage.order(stage.account(), {product: 3}, OrderStatus.PAID)
    OutboxRelay(store, clock).assign_sequence()
    died = []

    def kill_all(_seam: str) -> None:
        died.append(seam)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    dying = Seams(FailPoints(lambda reached: reached == seam and not died, kill_all)).store(store)
    Statistics(dying, clock).fold()
    assert died == [seam]
    Statistics(store, clock).fold()
    assert counters(store, product).units == 3
    assert PostgresQueries(engine).statistics_discrepancies() == []


def test_the_second_of_two_folds_finds_nothing_to_do(store: PostgresStore, clock: SettableClock) -> None:
    statistics = Statistics(store, clock)
    assert statistics.fold() == FoldResult()
    Stage(store).product()
    OutboxRelay(store, clock).assign_sequence()
    with store.begin() as tx:
        assert tx.events.claim(STATISTICS_CONSUMER, begin=0) == 0
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(statistics.fold).result() == FoldResult()
    assert statistics.fold() == FoldResult(events=1)


def test_a_consumer_is_created_once_by_concurrent_transactions(store: PostgresStore) -> None:
    with ThreadPoolExecutor(1) as pool:
        with store.begin() as tx:
            assert tx.events.claim("new", begin=0) == 0

            def wait() -> int | None:
                with store.begin() as other:
                    return other.events.claim("new", begin=0, wait=True)

            waiting = pool.submit(wait)
            tx.events.advance("new", 5)
        assert waiting.result() == 5


def _downgrade(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_an_upgrade_adds_existing_sales_to_the_rollups(
    engine: Engine, store: PostgresStore, clock: SettableClock
) -> None:
    stage = Stage(store)
    seller, buyer = stage.account(), stage.account()
    product, gone = stage.product(seller, price=2_00), stage.product(seller, price=5_00, stock=1)
    order = stage.order(buyer, {product: 3}, OrderStatus.PAID)
    stage.refund(order, [RefundLine(product, 1)])
    stage.order(buyer, {gone: 1}, OrderStatus.PENDING)
    stage.view({product: 4})
    OutboxRelay(store, clock).assign_sequence(3)
    _downgrade(engine, "0005")
    migrate.upgrade(engine.url.render_as_string(hide_password=False))
    queries = PostgresQueries(engine)
    assert Statistics(store, clock).fold(100).is_full(100)
    assert queries.statistics_discrepancies() == []
    fold(store)
    assert queries.statistics_discrepancies() == []
    stats = queries.seller_stats(seller)
    assert (stats.orders, stats.units_sold, stats.revenue) == (1, 2, 4_00)
    assert (stats.total_products, stats.total_views) == (2, 4)
    out = queries.product_statistics(gone, NOW)
    assert out is not None
    assert out.out_of_stock_since == NOW


def test_an_upgrade_removes_own_purchases_from_the_rollups(
    engine: Engine, store: PostgresStore, clock: SettableClock
) -> None:
    """The previous release counted own purchases. Events that wait to be folded at the upgrade are not lost."""
    stage = Stage(store)
    seller = stage.account()
    product = stage.product(seller, price=2_00)
    stage.order(seller, {product: 3}, OrderStatus.PAID)
    fold(store)
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO product_sales (product_id, orders, units, revenue) VALUES (:product, 1, 3, 600)",
            "INSERT INTO seller_sales (seller_id, currency, orders, units, revenue) VALUES (:seller, 'USD', 1, 3, 600)",
        ):
            connection.execute(text(statement), {"product": product, "seller": seller})
    queries = PostgresQueries(engine)
    assert {each.rollup for each in queries.statistics_discrepancies()} >= {"product_sales", "seller_sales"}
    _downgrade(engine, "0016")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM statistics_owed"))
        connection.execute(text("INSERT INTO statistics_owed (product_id) VALUES (:product)"), {"product": product})
    migrate.upgrade(engine.url.render_as_string(hide_password=False))
    assert Statistics(store, clock).fold(100).is_full(100)
    assert queries.statistics_discrepancies() == []
    assert Statistics(store, clock).fold(100) == FoldResult(pending=1)
    assert queries.seller_stats(seller).orders == 0


def test_an_upgrade_without_own_purchases_rebuilds_nothing(
    engine: Engine, store: PostgresStore, clock: SettableClock
) -> None:
    stage = Stage(store)
    stage.order(stage.account(), {stage.product(): 3}, OrderStatus.PAID)
    fold(store)
    _downgrade(engine, "0016")
    migrate.upgrade(engine.url.render_as_string(hide_password=False))
    assert Statistics(store, clock).fold(100) == FoldResult()


def test_an_upgrade_rejects_amounts_whose_decimals_differ_from_their_currency(
    engine: Engine, store: PostgresStore
) -> None:
    Stage(store).product(price=100_00)
    _downgrade(engine, "0016")
    with engine.begin() as connection:
        connection.execute(text("UPDATE products SET currency = 'JPY'"))
    with pytest.raises(Conflict, match=r"amounts in JPY.*Nothing was changed"):
        migrate.upgrade(engine.url.render_as_string(hide_password=False))
    assert migrate.current(engine.url.render_as_string(hide_password=False)) == "0016"


def test_a_fold_takes_as_many_statements_for_a_hundred_orders_as_for_one(
    store: PostgresStore, clock: SettableClock
) -> None:
    stage = Stage(store)
    _, products = sellers_and_products(stage)
    buyer = stage.account()
    fold(store)
    counts = []
    for orders in (1, 50):
        for number in range(orders):
            order = stage.order(buyer, {products[number % 6]: 1}, OrderStatus.PAID)
            stage.refund(order, [RefundLine(products[number % 6], 1)])
        OutboxRelay(store, clock).assign_sequence()
        with recorded_statements() as statements:
            assert Statistics(store, clock).fold().events == 4 * orders
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_statistics_are_read_by_ranges_of_keys(engine: Engine) -> None:
    """The rows of other sellers and products are not read."""
    with engine.begin() as connection:
        for statement in FILL:
            connection.exec_driver_sql(statement)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    queries = PostgresQueries(engine)
    reads: dict[str, Callable[[], object]] = {
        "seller": lambda: queries.seller_stats(AccountId(7)),
        "product": lambda: queries.product_statistics(ProductId(7), NOW),
    }
    for name, read in reads.items():
        with recorded_statements() as statements:
            read()
        for statement, parameters in statements:
            with engine.connect() as connection:
                (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).one()
            for node in nodes(plan[0]["Plan"]):
                # The planner scans tables of products and prices that are empty.
                assert node["Node Type"] != "Seq Scan" or node["Relation Name"] in EMPTY, (name, node)
                assert node["Actual Rows"] <= 10, (name, node)


EMPTY = {"products", "price_history", "price_sales", "product_views", "product_stockouts"}
FILL = (
    "INSERT INTO seller_sales (seller_id, currency, orders) SELECT n, 'USD', 1 FROM generate_series(1, 5000) AS n",
    "INSERT INTO seller_product_counts SELECT n, 1, 1, 1 FROM generate_series(1, 5000) AS n",
    "INSERT INTO product_sales (product_id, orders) SELECT n, 1 FROM generate_series(1, 20000) AS n",
    "INSERT INTO product_ranks SELECT n, n %% 10, 'USD', n FROM generate_series(1, 20000) AS n",
)


def test_the_stock_outlook_reads_the_hours_with_sales_of_the_seller_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in FILL_HOURS:
            connection.exec_driver_sql(statement)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    with recorded_statements() as statements:
        found = PostgresQueries(engine).stock_outlook(AccountId(7), NOW, PageRequest(100)).rows
    assert {each.sold for each in found} == {2}
    assert len(found) == PRODUCTS_OF_ONE
    ((statement, parameters),) = [each for each in statements if "product_hours" in each[0]]
    with engine.connect() as connection:
        (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).one()
    read = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == "product_hours"]
    assert {node["Index Name"] for node in read} == {"product_hours_sold_idx"}
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) == 2 * PRODUCTS_OF_ONE


PRODUCTS_OF_ONE = 30
# Each product has views in twenty hours and sales in two of them.
FILL_HOURS = (
    """
    INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
    SELECT n, n || '@example.com', '', '', '', false, true, now() FROM generate_series(0, 99) AS n
    """,
    f"""
    INSERT INTO products (id, seller_id, category_id, name, brand, price, currency, description, is_active, created_at,
        updated_at, priced_at, version)
    SELECT n, n %% 100, 1, 'Cup', '', 500, 'USD', '', true, now() - interval '2 years', now(), now(), 1
    FROM generate_series(1, {100 * PRODUCTS_OF_ONE}) AS n
    """,  # noqa: S608 - no values in it
    "INSERT INTO stock SELECT id, 5, 0 FROM products",
    "INSERT INTO product_ranks SELECT id, seller_id, 'USD', id FROM products",
    f"""
    INSERT INTO product_hours (product_id, hour, views, orders, units)
    SELECT id, date_trunc('hour', CAST('{NOW.isoformat()}' AS timestamptz)) - n * interval '1 day', 3,
           CAST(n <= 2 AS int), CAST(n <= 2 AS int)
    FROM products, generate_series(1, 20) AS n
    """,  # noqa: S608 - no values in it
)
