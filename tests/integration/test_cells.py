"""Two installations in two schemas of one database: neither uses the other's rows, locks or messages."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from attrs import evolve, frozen
from psycopg import sql
from redis import Redis
from sqlalchemy import Engine, make_url, text

from adapters.db import migrate
from adapters.db.core.advisory_locks import AdvisoryLock, lock_key
from adapters.db.core.change_notifications import PostgresCatalogFeed
from adapters.db.core.connection_parameters import open_connection
from adapters.db.core.engine import database_engine
from adapters.db.installation import read_installation
from adapters.db.schema_version import release_revisions
from adapters.db.store import PostgresStore
from adapters.db.validation_backlog import read_backlog
from adapters.embedded.postgres import ROLE, EmbeddedPostgres
from adapters.redis.installation_lease import KEY, RedisInstallationLease
from adapters.system import RandomIds
from scalecommerce_core.domain.errors import SchemaMismatch, Unavailable
from scalecommerce_core.domain.order import Order, OrderStatus
from scalecommerce_core.ports import Transaction
from scalecommerce_core.queries import PageRequest, ProductFilter
from scalecommerce_core.services.idempotency import IdempotencyKey
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.testing.contracts.stage import NOW
from tests.integration.deployment import Deployment, await_resource
from tests.integration.engine_process import eventually, run
from tests.integration.real_market import real_market
from tests.integration.test_cache import RecordingListener
from tests.integration.test_http_server import answer, create_product, order_body
from tests.unit.support.shop import MarketActions, line

NAMES = ("north", "south")
ORDERS = 12
IMPATIENT = timedelta(milliseconds=500)
"""Shorter than any test holds a lock."""


@frozen
class Cells:
    """The URL of the database, and those of the installations in it."""

    database: str
    north: str
    south: str


@pytest.fixture(scope="module")
def cells(
    postgres: EmbeddedPostgres, administrator: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cells]:
    name = f"cells_{secrets.token_hex(4)}"
    administrator.execute(f"CREATE DATABASE {name} OWNER {ROLE}".encode())
    database = postgres.url_of(name)
    urls = [in_schema(database, schema) for schema in NAMES]
    directory = tmp_path_factory.mktemp("cells")

    # In processes: Alembic has one context for all threads.
    def upgrade(url: str) -> str:
        return run("migrate", cwd=directory, DATABASE_URL=url).stderr

    with ThreadPoolExecutor(len(urls)) as threads:
        outputs = list(threads.map(upgrade, urls))
    for url, output in zip(urls, outputs, strict=True):
        assert migrate.current(url) == release_revisions().head, output
    yield Cells(database, *urls)
    administrator.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def in_schema(database: str, schema: str) -> str:
    return with_parameter(database, schema=schema)


def with_parameter(url: str, **parameters: str) -> str:
    return make_url(url).update_query_dict(parameters).render_as_string(hide_password=False)


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    engine = database_engine(url, lock_timeout=IMPATIENT)
    try:
        yield engine
    finally:
        engine.dispose()


# --- schema


def test_installations_are_migrated_at_the_same_time_into_their_schemas_alone(cells: Cells) -> None:
    with open_connection(cells.database) as connection:
        tables = dict(
            connection.execute(
                "SELECT nspname, count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
                " WHERE relkind = 'r' AND nspname = ANY (%s) GROUP BY nspname",
                [[*NAMES, "public"]],
            ).fetchall()
        )
        assert tables.keys() == set(NAMES), "nothing in public"
        assert tables["north"] == tables["south"] > 50
        # An extension in a schema of an installation would be dropped with it.
        places = "SELECT DISTINCT extnamespace::regnamespace::text FROM pg_extension WHERE extname <> 'plpgsql'"
        assert connection.execute(places).fetchall() == [("public",)]
    for url in (cells.north, cells.south):
        migrate.check(url)
        migrate.upgrade(url)
    with pytest.raises(SchemaMismatch, match="no tables yet"):
        migrate.check(in_schema(cells.database, "west"))


def test_an_installation_uses_no_table_outside_of_its_schema(empty_database: str) -> None:
    """Its tables may be missing; those of the installation in `public` are not used instead."""
    migrate.upgrade(empty_database)
    url = in_schema(empty_database, "east")
    with pytest.raises(SchemaMismatch, match="no tables yet"):
        migrate.check(url)
    migrate.upgrade(url)
    migrate.check(url)
    with open_connection(empty_database, autocommit=True) as connection:
        ids = "SELECT (SELECT id FROM public.installation), (SELECT id FROM east.installation)"
        first, second = connection.execute(ids).fetchone() or (None, None)
        assert first != second
        connection.execute("DROP SCHEMA east CASCADE")
        extensions = "SELECT count(*) FROM pg_extension WHERE extname IN ('unaccent', 'pg_trgm')"
        assert connection.execute(extensions).fetchone() == (2,)
    with pytest.raises(SchemaMismatch, match="no tables yet"):
        migrate.check(url)
    migrate.check(empty_database)
    with pytest.raises(Unavailable, match="No schema of the search path exists: name the schema"):
        migrate.upgrade(with_parameter(empty_database, options="-csearch_path=nowhere"))


@pytest.mark.parametrize(
    ("name", "parameter"), [("order", {"schema": "order"}), ("shop-app", {"options": '-csearch_path="shop-app"'})]
)
def test_a_schema_may_have_a_name_that_needs_quotes(empty_database: str, name: str, parameter: dict[str, str]) -> None:
    url = with_parameter(empty_database, **parameter)
    with open_connection(empty_database) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        connection.commit()
    migrate.upgrade(url)
    migrate.check(url)
    places = (
        "SELECT DISTINCT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relname = %s"
    )
    with open_connection(empty_database) as connection:
        assert connection.execute(places, ["alembic_version"]).fetchall() == [(name,)]
    migrate.upgrade(url)


# --- the order path


def trade(url: str, price: str) -> tuple[list[Order], Sequence[object], RecordingListener]:
    """Sell one product to one buyer: intake with keys, decisions, payments, numbers of events and statistics."""
    listener = RecordingListener()
    with engine_of(url) as engine, real_market(url) as market:
        feed = PostgresCatalogFeed(engine, heartbeat_seconds=0.02)
        feed.follow(listener)
        eventually(lambda: listener.starts, "the feed's begin")
        shop = MarketActions(market, RandomIds())
        seller, buyer = shop.person("seller"), shop.person("buyer")
        product = shop.list(seller, price, stock=5 * ORDERS, name="Copper kettle")
        # The ids of accounts and the keys are those of the other installation too.
        commands = [
            evolve(shop.command(buyer, line(product)), idempotency=IdempotencyKey(f"key {number}", b"print", order_id))
            for number in range(ORDERS)
        ]
        placed = [unwrap_single(market.ordering.place([command])) for command in commands]
        again = [market.ordering.place([command])[0] for command in commands]
        while market.ordering.decide(5).total:
            pass
        orders = [shop.pay(order.id, buyer) for order in placed]
        while market.relay.assign_sequence(7):
            pass
        while market.statistics.fold(7).events:
            pass
        while market.search_index.update_vocabulary():
            pass
        feed.keep_alive()
        eventually(lambda: listener.event_notices, "the notice of numbered events")
        feed.close()
    return orders, again, listener


def order_id(order: Any) -> bytes:
    return b"%d" % order.id


def test_both_take_orders_at_the_same_time_and_see_only_their_own(cells: Cells) -> None:
    prices = {cells.north: "10.00", cells.south: "33.00"}
    with ThreadPoolExecutor(2) as threads:
        results = dict(zip(prices, threads.map(trade, prices.keys(), prices.values()), strict=True))
    for url, price in prices.items():
        orders, again, listener = results[url]
        assert {order.status for order in orders} == {OrderStatus.PAID}
        assert [order.id for order in orders] == list(range(1, ORDERS + 1)), "the ids of this installation alone"
        assert again == [Replayed(order_id(order)) for order in orders]
        assert {product for change in listener.changes for product in change.products} == {1}
        with real_market(url) as market:
            events = market.queries.feed(None, 1000, None).events
            assert [event.seq for event in events] == list(range(1, 3 * ORDERS + 2))
            assert [event.topic for event in events].count("order.paid") == ORDERS
            (kettle,) = market.queries.search(ProductFilter(), PageRequest(10)).rows
            assert str(kettle.price) == f"{price} USD"
            misspelt = market.queries.search(ProductFilter(search="cooper ketle"), PageRequest(10))
            assert misspelt.did_you_mean == "copper kettle"
            sold = market.queries.product_statistics(kettle.id, NOW)
            assert sold is not None
            assert sold.total.units == ORDERS
            assert market.queries.statistics_discrepancies() == []


# --- locks

HOLDERS: Mapping[str, Callable[[Transaction], object]] = {
    "decider": lambda tx: tx.orders.claim_undecided(10, NOW),
    "relay": lambda tx: tx.events.assign_sequence(10),
    "consumer": lambda tx: tx.events.claim("statistics", begin=0),
    "idempotency key": lambda tx: tx.idempotency.claim({(1, "held"): b"print"}, NOW),  # type: ignore[dict-item]
    "vocabulary": lambda tx: tx.search.update_vocabulary(10),
    "price index": lambda tx: tx.search.sync_price_index(10),
    "categories": lambda tx: tx.categories.lock_all(),
    "stock repair": lambda tx: tx.stock.ledger_differences([]),
}
HELD = """
SELECT classid, objid, objsubid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND datname = current_database() AND application_name = %s
"""


def test_all_locks_of_one_installation_are_free_in_the_other(cells: Cells) -> None:
    held: dict[str, set[Any]] = {}
    with ExitStack() as stack:
        # The first has each lock in an open transaction. The second takes the same locks meanwhile.
        for name, url in (("north", cells.north), ("south", cells.south)):
            engine = database_engine(url, pool_size=len(HOLDERS), lock_timeout=IMPATIENT, application_name=name)
            stack.callback(engine.dispose)
            store = PostgresStore(engine)
            for hold in HOLDERS.values():
                hold(stack.enter_context(store.begin()))
            with open_connection(cells.database) as connection:
                held[name] = set(connection.execute(HELD, [name]).fetchall())
        # The consumer's lock is that of a row.
        assert {len(locks) for locks in held.values()} == {len(HOLDERS) - 1}
        assert not held["north"] & held["south"]
        # The check finds a lock that is held: a second process of the same installation gets none of them.
        with real_market(cells.north) as market:
            shop = MarketActions(market, RandomIds())
            buyer = shop.person("second-buyer")
            placed = shop.place(buyer, line(shop.list(shop.person("second-seller"))))
            assert market.ordering.decide().total == 0
            assert market.relay.assign_sequence() == 0
            key = {(buyer.id, "free"): b"print", (1, "held"): b"print"}
            with market.store.begin() as tx:
                assert tx.idempotency.claim(key, NOW) == {(1, "held"): None}  # type: ignore[arg-type]
            assert shop.order(placed.id).status is OrderStatus.CREATED
    with real_market(cells.north) as market:
        assert market.ordering.decide().total == 1


def test_a_decider_is_seen_by_the_watchdogs_of_its_installation_alone(cells: Cells) -> None:
    with engine_of(cells.north) as north, engine_of(cells.south) as south:
        assert read_backlog(north).lock_holder is None
        with PostgresStore(north).begin() as tx:
            tx.orders.claim_undecided(1, NOW)
            assert read_backlog(south).lock_holder is None
            # On a connection of its own, because the reader closes those of the engine.
            with engine_of(cells.north) as watchdog:
                assert read_backlog(watchdog).lock_holder is not None


def test_a_migration_waits_for_none_of_the_other_installation(cells: Cells) -> None:
    take = f"SELECT pg_try_advisory_xact_lock({lock_key(AdvisoryLock.MIGRATION)})".encode()
    with open_connection(cells.north) as holder:
        assert holder.execute(take).fetchone() == (True,)
        with open_connection(cells.north) as second:
            assert second.execute(take).fetchone() == (False,)
        migrate.upgrade(cells.south)


# --- Redis and processes


def test_processes_refuse_the_redis_of_another_installation(cells: Cells, tmp_path: Path, redis_url: str) -> None:
    """Then the same processes take an order in a schema of their own."""
    with Redis.from_url(redis_url) as redis, engine_of(cells.north) as engine, ExitStack() as stack:
        assert RedisInstallationLease(redis, read_installation(engine), "shop, schema north").renew() == ""
        redis.persist(KEY)
        deployment = Deployment(tmp_path, cells.south, redis_url)
        stack.callback(deployment.end)
        for name in ("serve", "worker", "beat"):
            deployment.start(name)
        deployment.find()
        refusal = r"Redis at REDIS_URL serves another installation \(shop, schema north\): give each installation"
        deployment.commands["worker"].says(refusal)
        refused = httpx2.get(f"{deployment.url}/readyz")
        assert refused.status_code == 503
        assert "serves another installation (shop, schema north)" in refused.json()["detail"]
        assert "ready." not in deployment.commands["worker"].text()
        # As if the other installation had ended long ago, and a process of this one had taken the lease.
        redis.delete(KEY)
        with engine_of(cells.south) as own:
            own_name = describe(cells.south)
            assert RedisInstallationLease(redis, read_installation(own), own_name).renew() == ""
        deployment.commands["worker"].says(r"ready\.")
        eventually(lambda: httpx2.get(f"{deployment.url}/readyz").is_success, "an API that is ready")
        assert redis.hget(KEY, "name") == describe(cells.south).encode()
        seller, buyer = deployment.person("cell-seller"), deployment.person("cell-buyer")
        cup = create_product(seller, name="Cup")
        order = answer(buyer.post("/orders/api/v1/", json=order_body((cup["id"], 1))), 202)
        await_resource(buyer, f"/orders/api/v1/{order['id']}/", lambda shown: shown["status"] == "PENDING")
    with real_market(cells.north) as market:
        assert market.queries.search(ProductFilter(search="cup"), PageRequest(10)).rows == ()


def test_a_copy_of_a_database_is_another_installation(
    database: str, postgres: EmbeddedPostgres, administrator: psycopg.Connection
) -> None:
    name = make_url(database).database
    copy = f"copy_{secrets.token_hex(4)}"
    administrator.execute(f"CREATE DATABASE {copy} OWNER {ROLE} TEMPLATE {name}".encode())
    try:
        with engine_of(database) as first, engine_of(postgres.url_of(copy)) as second:
            identities = [read_installation(each) for each in (first, second)]
            assert read_installation(first) == identities[0]
            assert identities[0].partition(" ")[0] == identities[1].partition(" ")[0], "the id was copied"
            assert identities[0] != identities[1]
    finally:
        administrator.execute(f"DROP DATABASE {copy} WITH (FORCE)".encode())


def test_an_identity_needs_no_privilege_on_the_server(database: str, administrator_url: Callable[[str], str]) -> None:
    with open_connection(administrator_url(database), autocommit=True) as superuser, engine_of(database) as engine:
        with_system = read_installation(engine)
        superuser.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        assert with_system.rpartition(" ")[0] == read_installation(engine)


def test_a_database_without_an_id_is_reported_with_the_remedy(database: str) -> None:
    with open_connection(database, autocommit=True) as connection, engine_of(database) as engine:
        connection.execute("DELETE FROM installation")
        with pytest.raises(SchemaMismatch, match="has no row") as refused:
            read_installation(engine)
        connection.execute(str(refused.value).split("`")[3].encode())
        assert read_installation(engine)


def describe(url: str) -> str:
    return migrate.describe_database(url)


def test_statements_name_no_schema(cells: Cells) -> None:
    """No function, default or view of an installation refers to another schema than its own and the extensions'."""
    with open_connection(cells.north) as connection:
        bodies = connection.execute(
            "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'north'::regnamespace"
        ).fetchall()
        with engine_of(cells.north) as engine, engine.connect() as other:
            assert other.scalar(text("SHOW search_path")) == "north"
    assert bodies
    assert [name for name, body in bodies if "south" in body] == []
