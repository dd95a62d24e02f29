"""Translation of database errors, and recovery from lost connections."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import product
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from adapters.db.core.engine import database_engine
from adapters.db.core.errors import translate_errors
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.errors import ConnectionLost, Invalid, NotAuthenticated, TransactionAborted, Unavailable
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, CommandId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.product import Product
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.queries import Key, PageRequest, ProductFilter, SortOrder
from scalecommerce_core.services import ordering
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.contracts.stage import NOW, Stage


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> PostgresStore:
    return PostgresStore(engine)


@pytest.fixture
def cut(database: str, administrator: psycopg.Connection) -> Callable[[], None]:
    """Closes all connections to the database of the test, as a restart does."""
    name = database.partition("?")[0].rpartition("/")[2]

    def cut() -> None:
        administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    return cut


# --- translation


def test_a_deadlock_aborts_one_transaction_and_the_other_continues(store: PostgresStore) -> None:
    stage = Stage(store)
    first, second = stage.product(), stage.product()
    both = threading.Barrier(2)

    def lock(one: ProductId, other: ProductId) -> str:
        try:
            with store.begin() as tx:
                tx.stock.lock([one])
                both.wait(10)
                tx.stock.lock([other])  # two calls, so the rows are not locked in a common order
        except TransactionAborted:
            return "aborted"
        return "done"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(lock, [first, second], [second, first])) == ["aborted", "done"]


def test_a_serialization_failure_is_an_aborted_transaction(engine: Engine, store: PostgresStore) -> None:
    Stage(store).product()
    change = text("UPDATE stock SET on_hand = on_hand + 1")
    with engine.execution_options(isolation_level="REPEATABLE READ").connect() as late:
        late.execute(text("SELECT FROM stock"))
        with engine.begin() as early:
            early.execute(change)
        with pytest.raises(TransactionAborted), translate_errors():
            late.execute(change)


def test_a_statement_that_takes_too_long_is_unavailable(database: str) -> None:
    engine = database_engine(database, statement_timeout=timedelta(milliseconds=50))
    with pytest.raises(Unavailable, match="in time"), translate_errors(), engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    engine.dispose()


def test_a_write_to_a_read_only_database_says_so(database: str) -> None:
    separator = "&" if "?" in database else "?"
    engine = database_engine(f"{database}{separator}options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(Unavailable, match="The database is a standby, or read-only: name the primary in DATABASE_URL"):
        Stage(PostgresStore(engine)).product()
    engine.dispose()


def test_a_connection_that_breaks_with_pending_writes_is_lost_and_replaced(
    engine: Engine, store: PostgresStore
) -> None:
    product = Stage(store).product(stock=5)

    def write() -> None:
        with store.begin() as tx:
            stock = tx.stock.lock([product])[product]
            stock.reserve(1)
            tx.stock.save([stock])
            with engine.connect() as other:
                other.execute(_END_OTHERS)

    with pytest.raises(ConnectionLost):
        write()
    with store.begin() as tx:
        assert tx.stock.lock([product])[product].reserved == 0


_END_OTHERS = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize("code", ["53000", "53100", "53200", "53300", "53400"])
def test_a_server_without_resources_is_unavailable_and_writes_nothing(engine: Engine, code: str) -> None:
    with pytest.raises(Unavailable) as raised, translate_errors(), engine.begin() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")
    assert type(raised.value) is Unavailable, "a connection that broke may have committed; this one has not"


def test_an_exhausted_pool_is_unavailable(database: str) -> None:
    engine = database_engine(database, pool_size=1, max_overflow=0, pool_timeout=timedelta(milliseconds=50))
    store = PostgresStore(engine)
    with store.begin(), pytest.raises(Unavailable, match="in use"), store.begin():
        pass
    engine.dispose()


def test_an_unreachable_server_is_unavailable() -> None:
    engine = database_engine("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(Unavailable) as away, PostgresStore(engine).begin():
        pass
    assert not isinstance(away.value, ConnectionLost)
    with pytest.raises(Unavailable):
        PostgresQueries(engine).categories()
    engine.dispose()


def test_unique_violations_name_the_field_and_other_errors_are_not_translated(
    engine: Engine, store: PostgresStore
) -> None:
    stage = Stage(store)
    buyer, product = stage.account("kara@example.com"), stage.product()
    order_id = stage.order(buyer, {product: 1})
    with store.begin() as tx:
        order = tx.orders.lock([order_id])[order_id]
        (other_id,) = tx.orders.next_ids(1)
    twin = Order(other_id, order.command_id, buyer, "USD", order.lines, NOW, NOW)
    with pytest.raises(Duplicate) as duplicate, store.begin() as tx:
        tx.orders.add([twin])
    assert duplicate.value.field == "command_id"
    with pytest.raises(NotAuthenticated), store.begin() as tx:
        tx.products.add([_cup(seller=AccountId(10**9))])
    with pytest.raises(psycopg.IntegrityError, match="products_category_id_fk"), store.begin() as tx:
        tx.products.add([_cup(seller=buyer, category=10**9)])
    with pytest.raises(ProgrammingError), translate_errors(), engine.connect() as connection:
        connection.execute(text("SELECT nonsense"))


def _cup(*, seller: AccountId, category: int = 1) -> Product:
    return Product.listed(
        id=ProductId(10**9),
        seller_id=seller,
        category_id=CategoryId(category),
        name="Cup",
        price=Money(1, "USD"),
        now=NOW,
    )


def test_errors_of_the_database_do_not_contain_parameters(store: PostgresStore) -> None:
    stage = Stage(store)
    stage.account("kara@example.com")
    with pytest.raises(Duplicate) as duplicate:
        stage.account("kara@example.com", bio="a secret")
    assert "a secret" not in str(duplicate.value.__cause__)


# --- lost connections


def test_a_connection_that_breaks_is_reported_and_replaced(store: PostgresStore, cut: Callable[[], None]) -> None:
    product = Stage(store).product(stock=5)

    def lose() -> None:
        with store.begin() as tx:
            cut()
            tx.stock.lock([product])

    with pytest.raises(ConnectionLost):
        lose()
    with store.begin() as tx:
        assert tx.stock.lock([product])[product].on_hand == 5


def test_statements_of_the_driver_replace_all_connections_after_a_restart(
    engine: Engine, store: PostgresStore, cut: Callable[[], None]
) -> None:
    product, queries = Stage(store).product(stock=5), PostgresQueries(engine)

    def open_connections() -> None:
        for connection in [engine.connect() for _ in range(3)]:
            connection.execute(text("SELECT 1"))
            connection.close()

    def lock() -> int:
        with store.begin() as tx:
            return tx.stock.lock([product])[product].on_hand

    for read in (lock, lambda: len(queries.products([product]))):
        open_connections()
        cut()
        with suppress(ConnectionLost):
            # A transaction fails; a read is repeated on a new connection.
            read()
        assert read() > 0


def test_reads_survive_a_restart_of_the_database(engine: Engine, cut: Callable[[], None]) -> None:
    queries = PostgresQueries(engine)
    assert len(queries.categories()) == 20
    cut()
    assert len(queries.categories()) == 20
    search = ProductFilter(search="zzzz")
    queries.search(search, PageRequest())
    cut()
    assert queries.search(search, PageRequest()).rows == ()


def test_a_lost_commit_reply_does_not_place_an_order_twice(
    engine: Engine, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(store)
    buyer, product = stage.account(), stage.product()
    intake = ordering.Ordering(store, SettableClock(NOW))
    commit = engine.dialect.do_commit
    lost: list[str] = []

    def commit_and_lose(connection: object) -> None:
        commit(connection)  # type: ignore[arg-type]  # whatever SQLAlchemy gives
        if not lost:
            lost.append("reply")
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(engine.dialect, "do_commit", commit_and_lose)
    command = ordering.PlaceOrder(CommandId(uuid4()), buyer, [OrderLineRequest(product, 1)])
    (placed,) = intake.place([command])
    assert lost == ["reply"]
    assert isinstance(placed, Order)
    queries = PostgresQueries(engine)
    assert [order.id for order in queries.orders_of_buyer(buyer, PageRequest()).rows] == [placed.id]


# --- foreign page keys


Fetch = Callable[[PageRequest], object]
FOREIGN_TO_NUMBERS: list[Key] = [(), ("1",), (None,), (1, 2), (True,), (10**30,)]
FOREIGN_TO_PRODUCTS: list[Key] = [
    (), (1,), (1, 2, 3), ("x", 1), ("2026-03-01", 1), (None, None), (True, 1), (1.5, 1), (1, 10**30), ("~",),
]  # fmt: skip


def test_a_key_of_another_list_is_refused(engine: Engine) -> None:
    queries = PostgresQueries(engine)
    someone = AccountId(1)
    numbered: list[Fetch] = [
        queries.accounts,
        partial(queries.orders_of_buyer, someone),
        partial(queries.sales, someone),
    ]
    searches: list[Fetch] = [
        partial(queries.search, ProductFilter(search="tea", sort_order=sort_order)) for sort_order in SortOrder
    ]
    cases: list[tuple[Fetch, Key]] = [*product(numbered, FOREIGN_TO_NUMBERS), *product(searches, FOREIGN_TO_PRODUCTS)]
    for fetch, key in cases:
        for page in (PageRequest(after=key), PageRequest(before=key)):
            with pytest.raises(Invalid) as refused:
                fetch(page)
            assert refused.value.errors.keys() == {"cursor"}
