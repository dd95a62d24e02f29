"""The engine through PgBouncer, which pools sessions or transactions."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from attrs import frozen
from sqlalchemy import URL, Connection, text

from adapters.db.core.change_notifications import LogReader, PostgresCatalogFeed
from adapters.db.core.engine import database_engine
from adapters.db.core.errors import translate_errors
from adapters.db.core.session import COPY_MIN_ROWS
from adapters.db.migrate import check, upgrade
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.statement_cache import CachedStatement
from adapters.db.store import PostgresStore
from adapters.embedded.postgres import EmbeddedPostgres
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import ConnectionLost, Unavailable
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually
from tests.integration.pgbouncer import accepts_connections, needs_pgbouncer, running_pgbouncer
from tests.integration.real_market import real_market
from tests.integration.test_cache import RecordingListener
from tests.integration.test_repricing import PricedMarket
from tests.unit.support.shop import line

pytestmark = needs_pgbouncer
SETTINGS = text(
    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
    " current_setting('idle_in_transaction_session_timeout'), current_setting('TimeZone'), current_setting('jit')"
)
CACHED_SETTINGS = CachedStatement(str(SETTINGS), {})
EXPECTED = ("30s", "5s", "1min", "UTC", "off")


@frozen
class Pooler:
    mode: str
    address: URL

    def url_of(self, database: str, **parameters: str) -> str:
        """The URL of a database by its URL on the server; `parameters` are those of the new URL."""
        name = database.partition("@")[2].partition("?")[0].rpartition("/")[2]
        url = self.address.set(database=name, query={"pool_mode": self.mode, **parameters})
        return url.render_as_string(hide_password=False)

    def undeclared_url_of(self, database: str) -> str:
        return self.url_of(database).partition("?")[0]


@pytest.fixture(scope="module", params=["session", "transaction"])
def pooler(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Pooler]:
    with running_pgbouncer(postgres_url, request.param) as address:
        yield Pooler(request.param, address)


def test_orders_and_a_repricing_run_work(pooler: Pooler, database: str) -> None:
    clock = SettableClock()
    with real_market(pooler.url_of(database), clock) as market:
        priced = PricedMarket(market, clock)
        buyer = priced.person("buyer")
        orders = [priced.place(buyer, line(product)) for product in priced.products[:20]]
        assert market.ordering.decide().total == 20
        found = market.queries.orders([order.id for order in orders])
        assert {order.status for order in found.values()} == {OrderStatus.PENDING}
        paid = priced.pay(orders[0].id, buyer)
        assert paid is not None
        # Many executions of the same statements: they would be prepared, on one of several connections.
        for product in priced.products[:12]:
            priced.place(buyer, line(product))
            market.ordering.decide()
        run = priced.repricing.run(priced.policy())
        assert run.written > 0


def test_limits_apply_in_transactions_and_to_reads(pooler: Pooler, database: str) -> None:
    short = database_engine(
        pooler.url_of(database, options="-c statement_timeout=100 -c work_mem=5MB"), pool_size=2, max_overflow=0
    )
    engine = database_engine(pooler.url_of(database), pool_size=2, max_overflow=0)
    for _ in range(3):
        with engine.begin() as first, engine.begin() as second:
            assert [tuple(each.execute(SETTINGS).one()) for each in (first, second)] == [EXPECTED] * 2
        for statement in (SETTINGS, CACHED_SETTINGS):
            assert [tuple(row) for row in QueryExecutor(engine).fetch(statement)] == [EXPECTED]
        # An engine with other limits uses the same connections of the pooler.
        with short.begin() as connection:
            assert tuple(connection.execute(SETTINGS).one()) == ("100ms", *EXPECTED[1:])
        for slow in (text("SELECT pg_sleep(20)"), CachedStatement("SELECT pg_sleep(20)", {})):
            with pytest.raises(Unavailable):
                QueryExecutor(short).fetch(slow)
    for each in (engine, short):
        each.dispose()


def test_the_schema_of_the_url_is_the_only_one_in_the_search_path(pooler: Pooler, database: str) -> None:
    """Of each client, although the connections of the pooler are the same."""
    engines = [database_engine(pooler.url_of(database, schema=name), pool_size=1) for name in ("north", "south")]
    for _ in range(2):
        for engine, name in zip(engines, ("north", "south"), strict=True):
            with engine.begin() as connection:
                assert connection.scalar(text("SHOW search_path")) == name
            engine.dispose()
    default = database_engine(pooler.url_of(database))
    with default.begin() as connection:
        assert connection.scalar(text("SHOW search_path")) == '"$user", public'
    default.dispose()


def test_the_loss_of_all_connections_fails_one_transaction(pooler: Pooler, database: str) -> None:
    engine = database_engine(pooler.url_of(database), pool_size=2, max_overflow=0)
    with engine.begin() as first, engine.begin() as second:
        lost = [_driver_connection(first), _driver_connection(second)]
    _cut(lost)
    with pytest.raises(ConnectionLost), translate_errors(engine), engine.begin() as connection:
        connection.execute(SETTINGS)
    with engine.begin() as first, engine.begin() as second:
        assert [tuple(each.execute(SETTINGS).one()) for each in (first, second)] == [EXPECTED] * 2
        lost = [_driver_connection(first), _driver_connection(second)]
    _cut(lost)
    # A read is executed a second time, on a new connection.
    assert [tuple(row) for row in QueryExecutor(engine).fetch(CACHED_SETTINGS)] == [EXPECTED]
    engine.dispose()


def _driver_connection(connection: Connection) -> "psycopg.Connection[Any]":
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def _cut(connections: "list[psycopg.Connection[Any]]") -> None:
    """End the connections as the end of the pooler would."""
    for connection in connections:
        with socket.socket(fileno=os.dup(connection.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)


def test_bulk_transactions_have_their_own_limits(pooler: Pooler, database: str) -> None:
    engine = database_engine(pooler.url_of(database))
    with PostgresStore(engine).bulk() as tx:
        found = tx.products._sql.fetch_all(SETTINGS)  # type: ignore[attr-defined]  # the session of the adapter
    assert tuple(found[0][:3]) == ("0", "1min", "0")
    with engine.begin() as connection:
        assert tuple(connection.execute(SETTINGS).one()) == EXPECTED
    engine.dispose()


def test_the_feed_reports_changes(pooler: Pooler, database: str) -> None:
    engine, listener = database_engine(pooler.url_of(database)), RecordingListener()
    feed = PostgresCatalogFeed(engine, heartbeat_seconds=0.02)
    feed.follow(listener)
    eventually(lambda: listener.starts, "the feed's begin")
    stage = Stage(PostgresStore(engine))
    product = stage.product()
    for price in range(100, 110):
        stage.reprice(product, price, NOW + SECOND * price)
    listener.wait_until_complete(time.monotonic(), feed)
    feed.close()
    engine.dispose()
    assert len(listener.starts) == 1
    assert len(listener.changes) == 11


def test_the_feed_and_bulk_transactions_use_the_tables_of_the_schema_of_the_url(pooler: Pooler, database: str) -> None:
    """Also in statements outside of transactions, although `public` has tables of the same names."""
    url = pooler.url_of(database, schema="order")
    upgrade(url)
    engine, neighbour, listener = database_engine(url), database_engine(database), RecordingListener()
    feed = PostgresCatalogFeed(engine, heartbeat_seconds=0.02)
    feed.follow(listener)
    eventually(lambda: listener.starts, "the feed's begin")
    own, other = Stage(PostgresStore(engine)), Stage(PostgresStore(neighbour))
    others = {other.product() for _ in range(3)}
    product = own.product()
    own.reprice(product, 7_00, NOW + SECOND)
    listener.wait_until_complete(time.monotonic(), feed)
    feed.close()
    assert len(listener.starts) == 1
    assert [change.products for change in listener.changes] == [{product}, {product}]

    with own.store.bulk() as tx:
        ids = list(tx.accounts.next_ids(COPY_MIN_ROWS))
        tx.accounts.add([Account(id_, f"person-{id_}@example.com", None, NOW) for id_ in ids])
    counts = text("SELECT reltuples FROM pg_class WHERE oid = CAST(:name AS regclass)")
    states = text(
        'SELECT (SELECT count(*) FROM public.change_log), (SELECT count(*) FROM "order".change_log),'
        ' (SELECT next_below FROM public.change_log_state), (SELECT next_below > 0 FROM "order".change_log_state)'
    )
    with neighbour.begin() as connection:
        assert connection.scalar(counts, {"name": '"order".accounts'}) == COPY_MIN_ROWS + 1
        assert connection.scalar(counts, {"name": "public.accounts"}) < COPY_MIN_ROWS
        assert tuple(connection.execute(states).one()) == (len(others), 2, 0, False)
    make_due = b"UPDATE public.change_log_state SET next_at = now() - interval '1 hour'"
    with psycopg.connect(pooler.undeclared_url_of(database), autocommit=True, prepare_threshold=None) as connection:
        log = LogReader(connection, "order")
        for _ in range(2):
            connection.execute(make_due)
            connection.execute(make_due.replace(b"public", b'"order"'))
            assert log.advance_purge()
        assert not log.purge()
    with neighbour.begin() as connection:
        assert tuple(connection.execute(states).one()) == (len(others), 0, 0, True)
    engine.dispose()
    neighbour.dispose()


def test_migrations_run_once_although_several_processes_try(pooler: Pooler, empty_database: str) -> None:
    url = pooler.url_of(empty_database)
    seen: list[str] = []
    upgrade(url, lambda migration: seen.append(migration.revision))
    assert seen
    before = len(seen)
    upgrade(url, lambda migration: seen.append(migration.revision))
    assert len(seen) == before
    check(url)


def test_an_undeclared_pooler_is_refused_with_what_to_do(pooler: Pooler, database: str) -> None:
    engine = database_engine(pooler.undeclared_url_of(database))
    with (
        pytest.raises(
            Unavailable, match="leads to a connection pooler: add pool_mode=session or pool_mode=transaction"
        ),
        translate_errors(engine),
        engine.connect(),
    ):
        pass
    engine.dispose()


def test_options_that_are_no_settings_are_refused_with_what_to_do(pooler: Pooler, database: str) -> None:
    engine = database_engine(pooler.url_of(database, options="-e"))
    with (
        pytest.raises(Unavailable, match="refuses a parameter of DATABASE_URL: remove its options"),
        translate_errors(engine),
        engine.connect(),
    ):
        pass
    engine.dispose()


def test_prepared_statements_on_a_pooler_of_transactions_are_refused_with_what_to_do(
    pooler: Pooler, database: str
) -> None:
    """PgBouncer keeps them from 1.21 on, if it is configured to; this one does not."""
    engine = database_engine(pooler.url_of(database, prepare_threshold="0"), pool_size=2, max_overflow=0)

    def read_in_turns() -> None:
        with translate_errors(engine):
            # PgBouncer has two connections to PostgreSQL then, which it uses in turns.
            with engine.begin() as first, engine.begin() as second:
                for connection in (first, second):
                    connection.execute(text("SELECT 1"))
            for _ in range(4):
                with engine.begin() as connection:
                    connection.execute(text("SELECT count(*) FROM products WHERE id > :id"), {"id": 1})

    if pooler.mode == "session":
        read_in_turns()
    else:
        with pytest.raises(Unavailable, match="does not keep prepared statements: add pool_mode=transaction"):
            read_in_turns()
    engine.dispose()


def test_all_processes_work_through_a_pooler_of_transactions(
    tmp_path: Path, postgres_url: str, database: str, redis_url: str
) -> None:
    with (
        running_pgbouncer(postgres_url, "transaction") as address,
        Deployment(tmp_path, Pooler("transaction", address).url_of(database), redis_url) as deployment,
    ):
        seller, buyer = deployment.person("seller"), deployment.person("buyer")
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 10}
        created = seller.post("/products/api/v1/", json=product).json()["id"]
        page = f"/products/api/v1/{created}/"
        assert deployment.visitor().get(page).json()["stock"] == 10
        order = {"order_item": [{"product": created, "quantity": 3}]}
        answer = buyer.post("/orders/api/v1/", json=order)
        assert answer.status_code == 202
        path = f"/orders/api/v1/{answer.json()['id']}/"
        eventually(lambda: buyer.get(path).json()["status"] == "PENDING", "the decision")
        eventually(lambda: deployment.visitor().get(page).json()["stock"] == 7, "the cache to be up to date")


def test_a_direct_connection_needs_no_parameter(make_database: Callable[[], str]) -> None:
    engine = database_engine(make_database())
    with engine.begin() as connection:
        assert tuple(connection.execute(SETTINGS).one()) == EXPECTED
    assert [tuple(row) for row in QueryExecutor(engine).fetch(SETTINGS)] == [EXPECTED]
    engine.dispose()


def test_a_crash_that_the_pooler_hides_from_a_reader_of_the_change_log_is_noticed(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server, running_pgbouncer(server.url, "transaction") as address:
        upgrade(server.url)
        through = Pooler("transaction", address).undeclared_url_of(server.url)
        with psycopg.connect(through, autocommit=True, prepare_threshold=None) as connection:
            log = LogReader(connection)
            assert log.read() == []
            direct = server.url.replace("+psycopg", "")
            with psycopg.connect(direct, autocommit=True) as backend:
                os.kill(backend.info.backend_pid, signal.SIGKILL)
            eventually(lambda: accepts_connections(direct), "a server that has recovered")
            # The connection to the pooler is still open. The server may assign ids of transactions a second time.
            with pytest.raises(psycopg.OperationalError, match="changes may have been missed"):
                log.read()
            assert LogReader(connection).read() == []
