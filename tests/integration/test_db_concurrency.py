"""Concurrent transactions: waiting, lock timeouts, and constraints of the database."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.system import RandomIds
from scalecommerce_core.domain.category import name_key
from scalecommerce_core.domain.errors import IdempotencyKeyInFlight, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, CommandId, OrderId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order, OrderStatus
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.ports import StoredOutcome
from scalecommerce_core.services.catalog import AddCategory, Catalog, CreateProduct, ProductWithStock, RenameCategory
from scalecommerce_core.services.idempotency import KEY_LIFETIME, IdempotencyKey
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import CancelOrder, Ordering, OrderRules, PlaceOrder
from scalecommerce_core.services.payments import Payments, PayOrder
from scalecommerce_core.testing import MemoryGateway, SettableClock
from scalecommerce_core.testing.contracts.stage import NOW, Stage, new_order
from tests.integration.engine_process import PATIENCE, eventually

IMPATIENT = timedelta(milliseconds=100)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> PostgresStore:
    return PostgresStore(engine)


@pytest.fixture
def impatient(database: str) -> Iterator[PostgresStore]:
    engine = database_engine(database, lock_timeout=IMPATIENT)
    yield PostgresStore(engine)
    engine.dispose()


def in_another_thread(work: Callable[[], object]) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result(timeout=20)


def deadlocks(engine: Engine) -> int:
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()"))
        found: int = connection.scalar(
            text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        )
        return found


# --- constraints


IMPOSSIBLE = (
    "UPDATE stock SET reserved = on_hand + 1",
    "UPDATE stock SET reserved = -1",
    "UPDATE products SET price = 0",
    "UPDATE products SET withdrawn_at = now()",
    "UPDATE orders SET status = 'PAID'",
    "UPDATE orders SET status = 'PENDING'",
    "UPDATE orders SET status = 'LOST'",
    "UPDATE order_lines SET refunded = quantity + 1",
    "UPDATE order_lines SET seller_id = (SELECT buyer_id FROM orders)",
    "UPDATE order_lines SET quantity = 0",
    "UPDATE accounts SET email = upper(email)",
    "INSERT INTO price_history SELECT * FROM price_history",
    (
        "INSERT INTO stock_movements (product_id, quantity, kind, occurred_at)"
        " SELECT product_id, 1, 'sale', now() FROM stock"
    ),
    "DELETE FROM products",
    "DELETE FROM orders",
)


def test_constraints_reject_invalid_rows(engine: Engine, store: PostgresStore, subtests: pytest.Subtests) -> None:
    stage = Stage(store)
    stage.order(stage.account(), {stage.product(stock=2): 1})
    for statement in IMPOSSIBLE:
        with subtests.test(statement), pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(text(statement))


def test_an_oversell_violates_a_constraint(store: PostgresStore) -> None:
    product = Stage(store).product(stock=1)
    with store.begin() as tx:
        stock = tx.stock.lock([product])[product]
    stock.reserved = 2
    with pytest.raises(psycopg.IntegrityError, match="stock_never_oversold"), store.begin() as tx:
        tx.stock.save([stock])


# --- waiting


def test_a_transaction_that_waits_too_long_for_a_row_is_aborted(store: PostgresStore, impatient: PostgresStore) -> None:
    product = Stage(store).product()

    def wait() -> None:
        with pytest.raises(TransactionAborted), impatient.begin() as other:
            other.stock.lock([product])

    with store.begin() as tx:
        tx.stock.lock([product])
        in_another_thread(wait)


def test_orders_do_not_wait_for_locks_on_products(store: PostgresStore, impatient: PostgresStore) -> None:
    stage = Stage(store)
    buyer, product = stage.account(), stage.product()

    def buy() -> None:
        with impatient.begin() as other:
            (id_,) = other.orders.next_ids(1)
            other.orders.add([new_order(other, id_, buyer, {product: 1})])
            other.stock.lock([product])
            other.products.add_views({(product, NOW): 1})

    with store.begin() as tx:
        found = tx.products.lock([product])[product]
        found.edit(NOW, name="Kettle")
        tx.products.save([found])
        in_another_thread(buy)


@pytest.mark.parametrize("age", [timedelta(), KEY_LIFETIME])
def test_a_key_in_flight_is_reported_and_other_keys_are_claimed(
    store: PostgresStore, impatient: PostgresStore, age: timedelta
) -> None:
    owner, somebody = Stage(store).account(), Stage(store).account()
    if age:
        with store.begin() as tx:
            tx.idempotency.claim({(owner, "k"): b"print"}, NOW - age)
            tx.idempotency.store({(owner, "k"): b"of yesterday"})

    def twin() -> None:
        with impatient.begin() as other:
            keys = [(owner, "a"), (owner, "k"), (owner, "z"), (somebody, "k")]
            assert other.idempotency.claim(dict.fromkeys(keys, b"print"), NOW) == {(owner, "k"): None}
            other.idempotency.store({(owner, "a"): b"done"})

    with store.begin() as tx:
        assert tx.idempotency.claim({(owner, "k"): b"print"}, NOW) == {}
        in_another_thread(twin)
        tx.idempotency.store({(owner, "k"): b"first"})
    with store.begin() as tx:
        assert tx.idempotency.claim({(owner, "k"): b"other"}, NOW) == {(owner, "k"): StoredOutcome(b"print", b"first")}
        assert tx.idempotency.claim({(owner, "a"): b"other"}, NOW) == {(owner, "a"): StoredOutcome(b"print", b"done")}


def test_an_order_with_a_key_in_flight_does_not_delay_its_batch(store: PostgresStore, impatient: PostgresStore) -> None:
    stage = Stage(store)
    buyer, product = stage.account(), stage.product()

    def order(key: str | None) -> PlaceOrder:
        idempotency = None if key is None else IdempotencyKey(key, b"print", lambda order: b"%d" % order.id)
        return PlaceOrder(CommandId(uuid4()), buyer, [OrderLineRequest(product, 1)], idempotency)

    def batch() -> None:
        free, held, keyless = Ordering(impatient, SettableClock(NOW)).place([order("free"), order("k"), order(None)])
        assert isinstance(free, Order)
        assert isinstance(held, IdempotencyKeyInFlight)
        assert isinstance(keyless, Order)

    with store.begin() as tx:
        tx.idempotency.claim({(buyer, "k"): b"print"}, NOW)
        in_another_thread(batch)


def test_a_second_decider_claims_nothing_without_waiting(store: PostgresStore, impatient: PostgresStore) -> None:
    stage = Stage(store)
    order_id = stage.order(stage.account(), {stage.product(): 1})

    def second() -> None:
        with impatient.begin() as other:
            assert other.orders.claim_undecided(10, NOW) == ()

    with store.begin() as tx:
        assert [order.id for order in tx.orders.claim_undecided(10, NOW)] == [order_id]
        in_another_thread(second)
    with store.begin() as tx:
        assert len(tx.orders.claim_undecided(10, NOW)) == 1


def test_intake_decides_nothing_while_another_transaction_decides(
    engine: Engine, store: PostgresStore, impatient: PostgresStore
) -> None:
    stage = Stage(store)
    waiting = stage.order(stage.account(), {stage.product(): 1})

    def place() -> None:
        assert _statuses(engine, [waiting, _place_one(impatient, stage)]) == [OrderStatus.CREATED] * 2

    with store.begin() as tx:
        assert tx.orders.claim_undecided(10, NOW)
        in_another_thread(place)
    order = _place_one(impatient, stage)
    assert set(_statuses(engine, [waiting, order])) == {OrderStatus.PENDING}
    assert Ordering(store, SettableClock(NOW)).decide().total == 0


def test_intake_waits_for_no_order_that_another_transaction_holds(
    engine: Engine, store: PostgresStore, impatient: PostgresStore
) -> None:
    stage = Stage(store)
    waiting = stage.order(stage.account(), {stage.product(): 1})

    def place() -> None:
        assert _statuses(engine, [_place_one(impatient, stage)]) == [OrderStatus.CREATED]

    with store.begin() as tx:
        tx.orders.lock([waiting])
        in_another_thread(place)
    assert Ordering(store, SettableClock(NOW)).decide().total == 2


def test_intake_waits_for_no_stock_that_another_transaction_holds(
    engine: Engine, store: PostgresStore, impatient: PostgresStore
) -> None:
    stage = Stage(store)
    held, free = stage.product(), stage.product()
    placed: list[OrderId] = []

    def place() -> None:
        placed.append(_place_one(impatient, stage, free))
        placed.append(_place_one(impatient, stage, free, held))

    with store.begin() as tx:
        tx.stock.lock([held])
        in_another_thread(place)
        assert _statuses(engine, placed) == [OrderStatus.PENDING, OrderStatus.CREATED]
    assert Ordering(store, SettableClock(NOW)).decide().total == 1


def _place_one(store: PostgresStore, stage: Stage, *products: ProductId) -> OrderId:
    """Place an order of one unit of each of these products, or of a new one, with decisions at intake."""
    lines = [OrderLineRequest(product, 1) for product in products or [stage.product()]]
    intake = Ordering(store, SettableClock(NOW), OrderRules(decide_at_intake=True))
    (order,) = intake.place([PlaceOrder(CommandId(uuid4()), stage.account(), lines)])
    assert isinstance(order, Order)
    return order.id


def _statuses(engine: Engine, ids: list[OrderId]) -> list[OrderStatus]:
    found = PostgresQueries(engine).orders(ids)
    return [found[id_].status for id_ in ids]


def test_expiry_skips_locked_orders(store: PostgresStore, impatient: PostgresStore) -> None:
    stage = Stage(store)
    buyer, product = stage.account(), stage.product()
    held, free = (stage.order(buyer, {product: 1}, OrderStatus.PENDING) for _ in range(2))

    def expire() -> None:
        with impatient.begin() as other:
            claimed = other.orders.claim_expired(10, NOW + timedelta(days=9))
            assert [order.id for order in claimed] == [free]

    with store.begin() as tx:
        tx.orders.lock([held])
        in_another_thread(expire)


def test_a_waiting_decider_does_not_claim_an_order_that_was_cancelled(store: PostgresStore) -> None:
    """The decider waits for the row while the cancellation commits."""
    stage = Stage(store)
    order_id = stage.order(stage.account(), {stage.product(): 1})
    claims: list[list[OrderId]] = []

    def decide() -> None:
        with store.begin() as other:
            claims.append([order.id for order in other.orders.claim_undecided(10, NOW)])

    with ThreadPoolExecutor(1) as thread:
        with store.begin() as tx:
            order = tx.orders.lock([order_id])[order_id]
            waiting = thread.submit(decide)
            order.cancel({}, NOW)
            tx.orders.save([order])
        waiting.result(timeout=20)
    assert claims == [[]]


def test_categories_named_at_the_same_time_differ_in_more_than_case(engine: Engine, store: PostgresStore) -> None:
    """The unique index would accept each of these names. So all wait for one lock before they read the names."""
    catalog = Catalog(store, SettableClock(NOW))
    commands: list[Callable[[], list[Any]]] = [
        lambda: catalog.rename_categories([RenameCategory(CategoryId(1), "Straße")]),
        lambda: catalog.rename_categories([RenameCategory(CategoryId(2), "STRASSE")]),
        lambda: catalog.add_categories([AddCategory(Stage(store).account(), "strasse")]),
    ]
    with ThreadPoolExecutor(len(commands)) as threads:
        with store.begin() as tx:
            tx.categories.lock_all()
            waiting = [threads.submit(command) for command in commands]
            eventually(lambda: _waiting_for_locks(engine) == len(commands) or None, "three waiting transactions")
        outcomes = [outcome for each in waiting for outcome in each.result(timeout=20)]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Category", "Invalid", "Invalid"]
    keys = [name_key(category.name) for category in PostgresQueries(engine).categories()]
    assert len(set(keys)) == len(keys)


def _waiting_for_locks(engine: Engine) -> int:
    with engine.connect() as connection:
        waiting = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
            " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
        )
        return int(waiting.scalar_one())


# --- load


@pytest.mark.parametrize("decide_at_intake", [False, True])
def test_concurrent_use_cases_neither_oversell_nor_deadlock(
    engine: Engine, store: PostgresStore, decide_at_intake: bool
) -> None:
    stage = Stage(store)
    seller = stage.account()
    buyers = [stage.account() for _ in range(4)]
    products = [stage.product(seller, stock=60) for _ in range(6)]
    ordering = Ordering(store, SettableClock(NOW), OrderRules(decide_at_intake=decide_at_intake))
    payments = Payments(store, SettableClock(NOW), ids=RandomIds(), gateway=MemoryGateway())
    stop = threading.Event()

    def buy(seed: int) -> None:
        choice = random.Random(seed)
        mine: list[OrderId] = []
        for _ in range(25):
            commands = [_basket(choice, buyers[seed], products) for _ in range(choice.randint(1, 4))]
            mine += [placed.id for placed in ordering.place(commands) if isinstance(placed, Order)]
            picked = choice.sample(mine, 3) if len(mine) > 3 else mine
            payments.pay([PayOrder(order_id, buyers[seed]) for order_id in picked[:2]])
            ordering.cancel([CancelOrder(order_id, buyers[seed]) for order_id in picked[2:]])

    def decide() -> None:
        while not stop.is_set():
            ordering.decide(20)

    with ThreadPoolExecutor(6) as threads:
        deciders = [threads.submit(decide) for _ in range(2)]
        try:
            for buying in [threads.submit(buy, seed) for seed in range(4)]:
                buying.result(timeout=60)
        finally:
            stop.set()
        for deciding in deciders:
            deciding.result(timeout=60)
    while ordering.decide().total:
        pass
    assert PostgresQueries(engine).stock_discrepancies() == []
    with store.begin() as tx:
        stock = tx.stock.lock(products)
    assert all(0 <= one.reserved <= one.on_hand <= 60 for one in stock.values())
    assert deadlocks(engine) == 0


def _basket(choice: random.Random, buyer: AccountId, products: list[ProductId]) -> PlaceOrder:
    wanted = choice.sample(products, choice.randint(1, 4))
    lines = [OrderLineRequest(product, choice.randint(1, 3)) for product in wanted]
    return PlaceOrder(CommandId(uuid4()), buyer, lines)


def test_many_buyers_of_one_unit_buy_it_once(store: PostgresStore) -> None:
    stage = Stage(store)
    product = stage.product(stock=7)
    buyer = stage.account()
    ordering = Ordering(store, SettableClock(NOW))
    orders = [
        ordering.place([PlaceOrder(CommandId(uuid4()), buyer, [OrderLineRequest(product, 1)])]) for _ in range(20)
    ]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: ordering.decide(3), range(30)))
    while ordering.decide(50).total:
        pass
    with store.begin() as tx:
        found = tx.orders.lock([order.id for (order,) in orders if isinstance(order, Order)])
    statuses = [order.status for order in found.values()]
    assert statuses == [OrderStatus.PENDING] * 7 + [OrderStatus.REJECTED] * 13


def test_several_intakes_of_one_product_sell_each_unit_once(store: PostgresStore) -> None:
    """Each thread stands for an API process. Orders that one does not decide are decided by the next or the worker."""
    stage = Stage(store)
    product, buyer = stage.product(stock=37), stage.account()
    rules = OrderRules(quotas=OrderQuotas(open_orders=0, unpaid_share=0), decide_at_intake=True)
    intakes = [Ordering(store, SettableClock(NOW), rules) for _ in range(4)]

    def place(intake: Ordering) -> list[Order]:
        placed = []
        for _ in range(15):
            commands = [PlaceOrder(CommandId(uuid4()), buyer, [OrderLineRequest(product, 1)]) for _ in range(2)]
            placed += [order for order in intake.place(commands) if isinstance(order, Order)]
        return placed

    with ThreadPoolExecutor(len(intakes)) as threads:
        placed = [order for orders in threads.map(place, intakes) for order in orders]
    while intakes[0].decide(50).total:
        pass
    with store.begin() as tx:
        found = tx.orders.lock([order.id for order in placed])
        stock = tx.stock.lock([product])[product]
    assert Counter(order.status for order in found.values()) == {OrderStatus.PENDING: 37, OrderStatus.REJECTED: 83}
    assert (stock.on_hand, stock.reserved) == (37, 37)
    # Orders that intake has returned as decided were committed as such.
    assert all(found[order.id] == order for order in placed if order.status is not OrderStatus.CREATED)


def test_a_batch_larger_than_the_connection_buffers_is_written(store: PostgresStore) -> None:
    """A pipeline of some megabytes must not make client and server wait for each other."""
    seller = Stage(store).account()
    commands = [
        CreateProduct(seller, CategoryId(1), f"Encyclopedia {n}", Money(100, "USD"), description="x" * 5_000)
        for n in range(1_000)
    ]
    listed: list[object] = []
    catalog = Catalog(store, SettableClock(NOW))
    # A daemon thread, so that a deadlock does not outlive the tests.
    thread = threading.Thread(target=lambda: listed.extend(catalog.create_products(commands)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert [type(outcome) for outcome in listed] == [ProductWithStock] * len(commands)
