"""The change feed, the shared cache and two API processes on real servers."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import httpx2
import psycopg
import pytest
from redis import Redis
from sqlalchemy import Connection, Engine

from adapters.db.core import change_notifications
from adapters.db.core.change_notifications import INSERT_CHANGES, MAX_LISTED_IDS, LogReader, PostgresCatalogFeed
from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.embedded.redis import EmbeddedRedis
from adapters.http.cache.shared_cache import SHARED_TTL_FRACTION
from adapters.redis.servers import RedisServers
from adapters.redis.shared_cache import PREFIX, RedisSharedCache
from scalecommerce_core.domain.identifiers import AccountId, ProductId, SessionId
from scalecommerce_core.domain.order import RefundLine
from scalecommerce_core.domain.session import Session
from scalecommerce_core.ports import AccessChange, CatalogChange
from scalecommerce_core.services.catalog import AdjustStock, WithdrawProduct
from scalecommerce_core.services.ordering import CancelOrder
from scalecommerce_core.services.search_index import SearchIndex
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually
from tests.integration.real_market import real_market
from tests.integration.test_repricing import PricedMarket
from tests.unit.support.cached_lists import CachedLists
from tests.unit.support.shared_cache import SharedCacheContract, SharedCaches
from tests.unit.support.shop import line, usd

PRODUCTS = "/products/api/v1/"
ME = "/users/api/v1/me/"


class RecordingListener:
    """`ports.ChangeListener` that logs its calls."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.changes: list[CatalogChange] = []
        self.local_changes: list[CatalogChange] = []
        self.access_changes: list[AccessChange] = []
        self.heartbeats: list[float] = []
        self.event_notices = 0

    def on_start(self, number: int) -> None:
        self.starts.append(number)

    def on_change(self, change: CatalogChange) -> None:
        self.changes.append(change)

    def on_local_change(self, change: CatalogChange) -> None:
        self.local_changes.append(change)

    def on_access_change(self, change: AccessChange) -> None:
        self.access_changes.append(change)

    def on_events(self) -> None:
        self.event_notices += 1

    def on_heartbeat(self, moment: float) -> None:
        self.heartbeats.append(moment)

    def wait_until_complete(self, moment: float, feed: PostgresCatalogFeed) -> None:
        """Wait for a heartbeat that covers every earlier commit."""

        def look() -> bool:
            feed.keep_alive()
            return bool(self.heartbeats) and self.heartbeats[-1] >= moment

        eventually(look, "the feed to be complete")


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def feed(engine: Engine, listener: RecordingListener) -> Iterator[PostgresCatalogFeed]:
    feed = PostgresCatalogFeed(engine, heartbeat_seconds=0.02)
    feed.follow(listener)
    eventually(lambda: listener.starts, "the feed's begin")
    yield feed
    feed.close()


def test_a_remote_change_is_notified_before_the_heartbeat_that_covers_it(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener
) -> None:
    notified: list[CatalogChange] = []
    stage = Stage(PostgresStore(engine, notified.append))
    product = stage.product()
    for price in range(100, 120):
        stage.reprice(product, price, NOW + SECOND * price)
    listener.wait_until_complete(time.monotonic(), feed)
    assert listener.changes == notified
    assert len(notified) == 21
    assert all(change.number >= listener.starts[0] for change in notified)
    assert listener.local_changes == []


def test_revoked_sessions_are_notified_in_any_number(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener
) -> None:
    local: list[AccessChange] = []
    store = PostgresStore(engine, on_access_change=local.append)
    person = Stage(store).account()
    names = {SessionId(f"{number:032}") for number in range(500)}
    with store.begin() as tx:
        tx.sessions.add([Session(name, person, "first", NOW, NOW + SECOND) for name in names])
    with store.begin() as tx:
        tx.sessions.revoke_all(person, NOW)
    listener.wait_until_complete(time.monotonic(), feed)
    assert {name for change in listener.access_changes for name in change.sessions} == names
    assert local == listener.access_changes == [AccessChange(frozenset(names))]


def test_a_change_of_aspects_that_only_a_later_release_knows_concerns_any_list(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener
) -> None:
    with engine.begin() as connection:
        row = {
            "products": "{}",
            "sellers": "{}",
            "revoked_sessions": "{}",
            "key_owners": "{}",
            "lists": "false",
            "everything": "false",
            "events": "false",
            "aspects": '{"COLOUR": null}',
        }
        connection.exec_driver_sql(INSERT_CHANGES, row)
    listener.wait_until_complete(time.monotonic(), feed)
    assert [change.aspects for change in listener.changes] == [None]


def test_a_local_change_is_notified_immediately(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener
) -> None:
    stage = Stage(PostgresStore(engine, feed.announce))
    product = stage.product()
    assert [change.products for change in listener.local_changes] == [{product}]


def test_numbered_events_are_notified(engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener) -> None:
    store = PostgresStore(engine)
    stage = Stage(store)
    stage.reprice(stage.product(), 9_00, NOW + SECOND)
    listener.wait_until_complete(time.monotonic(), feed)
    assert listener.event_notices == 0
    for expected in (1, 1):
        # The second call finds no event without a number.
        with store.begin() as tx:
            tx.events.assign_sequence(100)
        listener.wait_until_complete(time.monotonic(), feed)
        assert listener.event_notices == expected


def test_a_feed_without_a_listener_can_announce_and_close(engine: Engine) -> None:
    feed = PostgresCatalogFeed(engine)
    Stage(PostgresStore(engine, feed.announce)).product()
    feed.close()


def test_many_products_are_notified_by_id_and_very_many_as_everything(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener
) -> None:
    for count in (MAX_LISTED_IDS, MAX_LISTED_IDS + 1):
        store, wanted = PostgresStore(engine), frozenset(ProductId(10**9 + number) for number in range(count))
        with store.begin() as tx:
            tx.products._sql.pending_changes.products |= wanted  # type: ignore[attr-defined]  # as so many products would
        listener.wait_until_complete(time.monotonic(), feed)
        (notified,) = listener.changes
        assert notified.everything is (count > MAX_LISTED_IDS)
        assert notified.products == (frozenset() if notified.everything else wanted)
        listener.changes.clear()


def test_a_seller_and_a_product_with_the_same_id_are_distinguished(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener
) -> None:
    stage = Stage(PostgresStore(engine))
    person = stage.account()
    with stage.store.begin() as tx:
        found = tx.accounts.lock([person])[person]
        found.edit(first_name="Grace")
        tx.accounts.save([found])
    listener.wait_until_complete(time.monotonic(), feed)
    assert [change.sellers for change in listener.changes] == [{AccountId(person)}]
    assert not listener.changes[0].products


def test_a_lost_connection_restarts_the_feed(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener, database: str
) -> None:
    listener.wait_until_complete(time.monotonic(), feed)
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        eventually(lambda: len(listener.starts) == 2, "another begin")
        engine.dispose()
        Stage(PostgresStore(engine)).product()
        listener.wait_until_complete(time.monotonic(), feed)
        assert len(listener.changes) == 1
    assert listener.starts == sorted(listener.starts)


def test_purged_changes_that_were_not_read_restart_the_feed(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener
) -> None:
    listener.wait_until_complete(time.monotonic(), feed)
    with engine.begin() as connection:
        # Rows of this transaction, which no read has seen, may be gone.
        connection.exec_driver_sql("UPDATE change_log_state SET purged_below = pg_current_xact_id()::text::bigint + 1")
    eventually(lambda: len(listener.starts) == 2, "another begin")
    listener.wait_until_complete(time.monotonic(), feed)
    assert listener.starts == sorted(listener.starts)


def test_an_idle_feed_reads_rarely_and_still_notifies(
    engine: Engine, feed: PostgresCatalogFeed, listener: RecordingListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notifications, "IDLE_AFTER_SECONDS", 0.0)
    listener.wait_until_complete(time.monotonic(), feed)
    Stage(PostgresStore(engine)).product()
    eventually(lambda: listener.changes, "the change")
    # `keep_alive` ends the pause at once: three reads of 0.02 s are sooner than the next one of an idle feed.
    monkeypatch.setattr(change_notifications, "IDLE_SECONDS", 3600.0)
    for _ in range(3):
        listener.wait_until_complete(time.monotonic(), feed)
    before = len(listener.heartbeats)
    listener.wait_until_complete(time.monotonic(), feed)
    assert len(listener.heartbeats) - before <= 3


# --- single reads of the log


@pytest.fixture
def log_connection(engine: Engine) -> Iterator["psycopg.Connection[object]"]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield cast("psycopg.Connection[object]", connection.connection.driver_connection)


def log_change(connection: Connection, product: int) -> int:
    """Insert a row in the transaction of `connection`; return the number of the transaction."""
    (xid,) = connection.exec_driver_sql(
        "INSERT INTO change_log SELECT pg_current_xact_id()::text::bigint, ARRAY[%s::bigint], '{}', '{}', '{}', false,"
        " false, false RETURNING xid",
        (product,),
    ).one()
    return int(xid)


def products_of(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return [product for row in rows for product in row["products"]]


def test_many_ids_are_stored_uncompressed(engine: Engine) -> None:
    with engine.begin() as connection:
        log_change(connection, 1)
        connection.exec_driver_sql("UPDATE change_log SET products = ARRAY(SELECT generate_series(1, 4000)::bigint)")
    with engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT pg_column_compression(products) FROM change_log").scalars().all()
    assert stored == [None]


def test_each_change_is_read_once_in_whatever_order_the_transactions_commit(
    engine: Engine, log_connection: "psycopg.Connection[object]"
) -> None:
    with engine.connect() as first, engine.connect() as second, engine.connect() as third:
        # The first transaction has a number before the reader's first snapshot, the second one before its second.
        log_change(first, 1)
        log = LogReader(log_connection)
        log_change(second, 2)
        assert log.read() == []
        log_change(third, 3)
        third.commit()
        assert products_of(log.read()) == [3]
        assert log.read() == []
        first.commit()
        assert products_of(log.read()) == [1]
        second.commit()
        log_change(third, 4)
        third.rollback()
        assert products_of(log.read()) == [2]
        assert log.read() == []
        # What was committed before the first read is not read: the listener reads the tables instead.
        log_connection.execute("DEALLOCATE ALL")
        assert LogReader(log_connection).read() == []


def test_reads_of_a_driver_without_prepared_statements_return_the_same(
    engine: Engine, log_connection: "psycopg.Connection[object]"
) -> None:
    log_connection.prepare_threshold = None
    log = LogReader(log_connection)
    with engine.begin() as connection:
        log_change(connection, 5)
    assert products_of(log.read()) == [5]
    assert log_connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_the_log_is_purged_in_steps_of_what_was_visible_minutes_ago(
    engine: Engine, log_connection: "psycopg.Connection[object]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notifications, "PURGE_ROWS", 2)
    log = LogReader(log_connection)

    def pass_minutes() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE change_log_state SET next_at = now() - interval '301 seconds'")

    def left() -> list[int]:
        with engine.connect() as connection:
            return list(connection.exec_driver_sql("SELECT products[1] FROM change_log ORDER BY 1").scalars())

    with engine.begin() as connection:
        # The database is a copy of one that may have been migrated minutes ago.
        connection.exec_driver_sql("UPDATE change_log_state SET next_at = now()")
    for product in range(1, 6):
        with engine.begin() as connection:
            log_change(connection, product)
    assert products_of(log.read()) == [1, 2, 3, 4, 5]
    assert not log.advance_purge()
    pass_minutes()
    with engine.connect() as running:
        old = log_change(running, 6)
        # The horizon is noted; rows below it go after the next minutes. Another feed is not to do it, too.
        assert log.advance_purge()
        assert not log.advance_purge()
        assert not log.purge()
        assert log.read() == []
        pass_minutes()
        with engine.begin() as connection:
            log_change(connection, 7)
        assert log.advance_purge()
        assert [log.purge(), log.purge(), log.purge()] == [True, True, False]
        assert left() == [7]
        # The transaction that runs holds the horizon back, so its change is not lost.
        running.commit()
        assert left() == [6, 7]
    assert products_of(log.read()) == [6, 7]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT purged_below FROM change_log_state").scalar_one() <= old


def test_a_log_that_was_restored_from_another_cluster_is_not_reported_and_is_purged(
    engine: Engine, log_connection: "psycopg.Connection[object]"
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE change_log_state SET purged_below = 1::bigint << 40, next_below = 1::bigint << 40;"
            "INSERT INTO change_log VALUES (1::bigint << 41, '{1}', '{}', '{}', '{}', false, false, false)"
        )
    log = LogReader(log_connection)
    with engine.begin() as connection:
        log_change(connection, 2)
    assert products_of(log.read()) == [2]
    assert log.advance_purge()
    assert not log.purge()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT products[1] FROM change_log").scalars().all() == [2]
        assert connection.exec_driver_sql("SELECT purged_below FROM change_log_state").scalar_one() == 0
    assert log.read() == []


def test_a_transaction_in_flight_holds_the_horizon_back(engine: Engine) -> None:
    queries, notified = PostgresQueries(engine), list[CatalogChange]()
    stage = Stage(PostgresStore(engine, notified.append))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE busy ()")  # takes a number
        stage.product()
        assert notified[0].number >= queries.visibility_horizon()
    assert notified[0].number < queries.visibility_horizon()


# The writes per transaction, recorded by triggers.
WATCH = """
CREATE TABLE seen (number bigint, product bigint);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'products' THEN
        INSERT INTO seen SELECT pg_current_xact_id()::text::bigint, NEW.id;
    ELSIF TG_OP = 'INSERT' OR NEW.on_hand - NEW.reserved <> OLD.on_hand - OLD.reserved THEN
        INSERT INTO seen SELECT pg_current_xact_id()::text::bigint, NEW.product_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE ON products FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see AFTER INSERT OR UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION see();
"""


def test_every_use_case_notifies_the_products_that_it_changes(engine: Engine, database: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(WATCH)
    notified: list[CatalogChange] = []
    clock = SettableClock()
    with real_market(database, clock, notified.append) as market:
        priced = PricedMarket(market, clock)
        run = priced.repricing.run(priced.policy())
        assert run.written
        priced.repricing.rollback(run.id)
        (edited, withdrawn), seller = priced.products[:2], priced.seller.id
        priced.edit(edited, price=usd("77.00"))
        market.catalog.adjust_stock([AdjustStock(edited, seller, available=50)])
        buyer = priced.person("buyer")
        orders = [priced.place(buyer, line(product)) for product in (edited, withdrawn, edited)]
        market.ordering.decide()
        priced.refund(priced.pay(orders[0].id, buyer), seller, RefundLine(edited, 1))
        market.ordering.cancel([CancelOrder(orders[1].id, buyer.id)])
        clock.advance(days=2)
        market.ordering.expire()
        market.catalog.withdraw_products([WithdrawProduct(withdrawn, seller)])
    with engine.connect() as connection:
        seen = connection.exec_driver_sql("SELECT number, array_agg(DISTINCT product) FROM seen GROUP BY number").all()
    assert len(seen) > 10
    by_number = {change.number % 2**64: change.products for change in notified}
    assert {number: set(products) for number, products in seen} == {
        number: set(by_number.get(number, ())) for number, _ in seen
    }


def test_a_list_that_no_change_concerns_equals_one_that_is_read_anew(engine: Engine) -> None:
    reported: list[CatalogChange] = []

    def update_indexes(stage: Stage) -> None:
        index = SearchIndex(stage.store)
        while index.update_vocabulary() or index.sync_price_index():
            pass

    lists = CachedLists(
        PostgresStore(engine, reported.append), PostgresQueries(engine), reported, random.Random(1), update_indexes
    )
    lists.run(60)
    assert lists.compared > lists.dropped > 50


# --- Redis


class TestRedisSharedCache(SharedCacheContract):
    @pytest.fixture
    def caches(self, redis_url: str) -> Iterator[SharedCaches]:
        with contextlib.ExitStack() as stack:

            def create() -> RedisSharedCache:
                cache = RedisSharedCache.at(RedisServers.parse(redis_url), "1.0", 5)
                stack.callback(cache.close)
                return cache

            yield create


def test_a_shared_entry_expires_and_other_releases_do_not_see_it(redis_url: str) -> None:
    cache, newer = (RedisSharedCache.at(RedisServers.parse(redis_url), release, 5) for release in ("1.0", "1.1"))
    cache.put({"product:1": b"tea"})
    assert newer.get(["product:1"]) == [None]
    with Redis.from_url(redis_url) as redis:
        assert 0 < redis.pttl(f"{PREFIX}:1.0:product:1") <= 5000
    for each in (cache, newer):
        each.close()


def test_the_shared_cache_skips_redis_for_some_seconds_after_an_error(tmp_path: Path) -> None:
    now = [100.0]
    with EmbeddedRedis(tmp_path) as server:
        redis = Redis.from_url(server.url, socket_timeout=1, socket_connect_timeout=1)
        cache = RedisSharedCache(redis, "1.0", 5, clock=lambda: now[0])
        cache.put({"a": b"A"})
        server.stop()
        assert cache.get(["a", "b"]) == [None, None]
        cache.put({"a": b"A"})
        server.start()
        assert cache.get(["a"]) == [None]
        now[0] += 10
        cache.put({"b": b"B"})
        assert cache.get(["b"]) == [b"B"]
        cache.close()


# --- two API processes


@pytest.fixture
def pair(tmp_path: Path, database: str) -> Iterator[tuple[Deployment, Deployment, EmbeddedRedis]]:
    """A deployment with worker and beat, and a second API process. The long TTL leaves only invalidation."""
    secret = "x" * 48
    with (
        EmbeddedRedis(tmp_path) as redis,
        Deployment(tmp_path / "one", database, redis.url, CACHE_SECONDS="3600", JWT_SECRET=secret) as one,
    ):
        other = Deployment(tmp_path / "other", database, redis.url, CACHE_SECONDS="3600", JWT_SECRET=secret)
        try:
            other.start("serve")
            other.find()
            yield one, other, redis
        finally:
            other.end()


def shows(client: httpx2.Client, path: str, meets: Callable[[httpx2.Response], bool]) -> None:
    eventually(lambda: meets(client.get(path)), f"a change of {path}")


def test_a_log_out_ends_access_at_once_in_its_process_and_soon_in_the_other(
    pair: tuple[Deployment, Deployment, EmbeddedRedis],
) -> None:
    one, other, _ = pair
    person, there = one.person("leaving"), other.visitor()
    there.headers["Authorization"] = person.headers["Authorization"]
    for client in (person, there, person, there):
        assert client.get(ME).status_code == 200
    assert person.post("/users/api/v1/logout/").status_code == 204
    refused = person.get(ME)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_not_valid")
    shows(there, ME, lambda answer: answer.status_code == 401)
    # A process that starts later reads the revocation from the database.
    other.end()
    other.start("serve")
    other.find()
    assert httpx2.get(other.url + ME, headers=dict(there.headers)).status_code == 401


def test_a_change_is_visible_at_once_in_its_process_and_soon_in_the_other(
    pair: tuple[Deployment, Deployment, EmbeddedRedis],
) -> None:
    one, other, redis = pair
    seller, here, there = one.person("seller"), one.visitor(), other.visitor()
    product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 10}
    page = f"{PRODUCTS}{seller.post(PRODUCTS, json=product).json()['id']}/"
    following = f"{PRODUCTS}{int(page.split('/')[-2]) + 1}/"
    lists = [f"{PRODUCTS}?category=5&facets=price", f"{PRODUCTS}categories/"]
    for client in (here, there):
        for path in (page, *lists, page, *lists):
            assert client.get(path).status_code == 200
        assert client.get(following).status_code == 404
    # Changes of price, text, stock and the seller's name.
    for number in range(5):
        edit = {"price": f"{11 + number}.00", "name": f"Pot {number}", "stock": 20 + number}
        assert seller.patch(page, json=edit).status_code == 200
        for path in (page, lists[0]):
            assert f'"price":"{11 + number}.00"' in here.get(path).text
            shows(there, path, lambda shown, wanted=edit: f'"stock":{wanted["stock"]}' in shown.text)  # type: ignore[misc]
            assert f"Pot {number}" in there.get(path).text
    assert seller.patch("/users/api/v1/me/", json={"first_name": "Grace"}).status_code == 200
    assert here.get(page).json()["seller"]["first_name"] == "Grace"
    shows(there, page, lambda shown: shown.json()["seller"]["first_name"] == "Grace")
    # A new product, a withdrawn product, and a reservation by the worker.
    assert seller.post(PRODUCTS, json=product).status_code == 201
    assert here.get(following).status_code == 200
    shows(there, following, lambda shown: shown.status_code == 200)
    buyer = one.person("buyer")
    order = {"order_item": [{"product": int(page.split("/")[-2]), "quantity": 3}]}
    assert buyer.post("/orders/api/v1/", json=order).status_code == 202
    for client in (here, there):
        shows(client, page, lambda shown: shown.json()["stock"] == 21)
    assert seller.delete(following).status_code == 204
    assert here.get(following).status_code == 404
    shows(there, following, lambda shown: shown.status_code == 404)
    # An entry stays in Redis for a fraction of its TTL.
    with Redis.from_url(redis.url) as shared:
        left = [shared.pttl(key) for key in shared.scan_iter(f"{PREFIX}:*")]
    assert left
    assert max(left) <= SHARED_TTL_FRACTION * 3_600_000
    # Changes also show while Redis is away.
    redis.stop()
    for number in range(5):
        assert seller.patch(page, json={"price": f"{30 + number}.00"}).status_code == 200
        for path in (page, lists[0]):
            assert f'"price":"{30 + number}.00"' in here.get(path).text
            shows(there, path, lambda shown, wanted=number: f'"price":"{30 + wanted}.00"' in shown.text)  # type: ignore[misc]
        for client in (here, there):
            assert {client.get(path).status_code for path in (page, *lists) for _ in range(3)} == {200}


def test_a_list_that_an_edit_does_not_concern_stays_cached_in_all_processes(
    pair: tuple[Deployment, Deployment, EmbeddedRedis], engine: Engine
) -> None:
    one, other, _ = pair
    seller, here, there = one.person("seller"), one.visitor(), other.visitor()
    ids = {
        category: seller.post(
            PRODUCTS, json={"name": "Tea pot", "category_id": category, "price": "10.00", "stock": 10}
        ).json()["id"]
        for category in (5, 6)
    }
    concerned = [f"{PRODUCTS}?category=6", f"{PRODUCTS}?category=6&ordering=price", f"{PRODUCTS}?search=pot"]
    others = [f"{PRODUCTS}?category=5", f"{PRODUCTS}?category=5&ordering=price&facets=price"]
    for client in (here, there):
        for path in (*concerned, *others) * 2:
            assert client.get(path).status_code == 200
    # A change without a notification shows which lists are read again.
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE products SET description = 'unnoticed'")
    edits: Sequence[dict[str, object]] = (
        {"price": "11.00"},
        {"stock": 0},
        {"stock": 7, "price": "12.00"},
        {"name": "Coffee pot"},
        {"is_active": False},
    )
    for number, edit in enumerate(edits):
        assert seller.patch(f"{PRODUCTS}{ids[6]}/", json=edit).status_code == 200
        for path in concerned:
            if "price" in edit:
                assert f'"price":"{edit["price"]}"' in here.get(path).text
                shows(there, path, lambda shown, wanted=edit["price"]: f'"price":"{wanted}"' in shown.text)  # type: ignore[misc]
        if edit == edits[-1]:
            assert here.get(concerned[0]).json()["results"] == []
            shows(there, concerned[0], lambda shown: shown.json()["results"] == [])
        for client in (here, there):
            for path in others:
                assert "unnoticed" not in client.get(path).text, (number, path)
    assert seller.patch(f"{PRODUCTS}{ids[5]}/", json={"price": "13.00"}).status_code == 200
    for path in others:
        assert "unnoticed" in here.get(path).text
        shows(there, path, lambda shown: "unnoticed" in shown.text)
