"""View counting with real Redis and PostgreSQL: several processes, dying tasks, servers that are away."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis
from redis import exceptions as redis_errors
from sqlalchemy import Engine

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.store import PostgresStore
from adapters.redis import view_counter
from adapters.redis.view_counter import OPEN, RedisViewCounter
from adapters.tasks.tasks import BackgroundTasks
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import NO_CAPS, ViewCap, ViewCaps
from scalecommerce_core.ports import Store, ViewCounter
from scalecommerce_core.queries import Interval
from scalecommerce_core.testing import SettableClock, in_memory_market
from scalecommerce_core.testing.contracts import ViewCounterContract
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage
from scalecommerce_core.testing.contracts.views import CUP, TEA, WINDOW, Counters
from scalecommerce_core.testing.failpoints import Crash, FailPoints, Seams, crash

SECRET = b"s" * 32
AWAY = "redis://127.0.0.1:1"


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def counters(redis: Redis, clock: SettableClock, monkeypatch: pytest.MonkeyPatch) -> Counters:
    # Views are pushed to Redis only by the tests.
    monkeypatch.setattr(view_counter, "PUSH_SECONDS", 3_600)

    def counter(window: timedelta, caps: ViewCaps = NO_CAPS) -> RedisViewCounter:
        return RedisViewCounter(redis, secret=SECRET, window=window, caps=caps, now=lambda: clock.now().timestamp())

    return counter


class TestRedisViewCounter(ViewCounterContract):
    pass


# --- from the process to Redis


def test_a_push_counts_once_when_its_reply_is_lost(
    redis: Redis, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    for window in (WINDOW, timedelta()):
        counter = counters(window)
        counter.record_view(TEA, "Ann")
        script = counter._push_script  # type: ignore[attr-defined]

        def deaf(**given: object) -> None:
            script(**given)  # noqa: B023 - called in this iteration only
            raise redis_errors.ConnectionError

        monkeypatch.setattr(counter, "_push_script", deaf)
        counter.push()
        monkeypatch.setattr(counter, "_push_script", script)
        counter.record_view(CUP)
        counter.push()
        batch = counter.next_batch()
        assert batch is not None
        assert sorted((product, count) for (product, _), count in batch.counts.items()) == [(TEA, 1), (CUP, 1)]
        counter.acknowledge(batch.id)
    assert redis.exists(OPEN) == 0


def test_redis_holds_viewers_as_hashes_that_expire_with_the_window(
    redis: Redis, counters: Counters, clock: SettableClock
) -> None:
    counter = counters(WINDOW)
    counter.record_view(TEA, "address 192.0.2.7 Mozilla")
    counter.push()
    (look,) = redis.keys(view_counter.SEEN + "*")
    assert len(look) == len(view_counter.SEEN) + 16
    assert 0 < redis.pttl(look) <= WINDOW.total_seconds() * 1000
    clock.advance(days=1)
    counter.record_view(TEA, "address 192.0.2.7 Mozilla")
    counter.push()
    assert len(redis.keys(view_counter.SEEN + "*")) == 2, "tomorrow nobody can tell that it is the same client"


def test_counts_by_origin_have_a_fixed_size_and_expire(
    redis: Redis, counters: Counters, clock: SettableClock, caplog: pytest.LogCaptureFixture
) -> None:
    caps = ViewCaps(ViewCap(of_product=10, in_total=400), ViewCap(of_product=50, in_total=800))
    counter = counters(WINDOW, caps)
    for number in range(3_000):
        address = f"address 2001:db8:{number % 5:x}::/64"
        counter.record_view(ProductId(1 + number % 997), f"{number}", origins=(address, f"network {number % 2}"))
        if number % 50 == 49:
            counter.push()
    (sketch,) = redis.keys(view_counter.ORIGINS + "*")
    assert redis.strlen(sketch) <= 16 * view_counter._CELLS // 8 + 4
    assert 0 < redis.ttl(sketch) <= 86_400 + 7_200
    batch = counter.next_batch()
    assert batch is not None
    assert sum(batch.counts.values()) == 2 * 800
    assert caplog.text.count("reached the daily caps of views") == 1
    clock.advance(days=1)
    counter.record_view(TEA, "Ann", origins=("address 2001:db8:0::/64", "network 0"))
    counter.push()
    assert len(redis.keys(view_counter.ORIGINS + "*")) == 2


def test_counts_of_other_origins_in_the_same_cells_do_not_use_up_a_cap(
    redis: Redis, counters: Counters, clock: SettableClock
) -> None:
    counter = counters(WINDOW, ViewCaps(ViewCap(of_product=3)))
    day = int(clock.now().timestamp() // 86_400)
    others = 8 * view_counter.PRODUCT_CELLS
    redis.set(f"{view_counter.ORIGINS}{day}", b"\0\x08" * view_counter._CELLS + others.to_bytes(4))
    for number in range(5):
        counter.record_view(TEA, f"Ann {number}", origins=("address 192.0.2.7",))
    counter.push()
    batch = counter.next_batch()
    assert batch is not None
    assert sum(batch.counts.values()) == 3


def test_views_wait_for_redis_up_to_a_limit(
    redis: Redis, clock: SettableClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(view_counter, "PUSH_SECONDS", 3_600)
    monkeypatch.setattr(view_counter, "MAX_UNPUSHED", 5)
    monkeypatch.setattr(view_counter, "PUSH_BATCH_SIZE", 2)
    with Redis.from_url(AWAY, decode_responses=True, socket_connect_timeout=0.2) as away:
        counter = RedisViewCounter(away, secret=SECRET, window=WINDOW, now=lambda: clock.now().timestamp())
        with pytest.raises(Unavailable):
            counter.next_batch()
        with pytest.raises(Unavailable):
            counter.acknowledge("any")
        counter.record_view(TEA)
        counter.push()
        counter.push()
        assert [record.message.partition(":")[0] for record in caplog.records] == ["views wait in this process"]
        for _ in range(9):
            counter.record_view(CUP)
        counter.push()
    back = RedisViewCounter(redis, secret=SECRET, window=WINDOW)
    monkeypatch.setattr(counter, "_push_script", back._push_script)
    counter.push()
    assert "4 views were not counted" in caplog.text
    batch = back.next_batch()
    assert batch is not None
    assert sorted((product, count) for (product, _), count in batch.counts.items()) == [(TEA, 1), (CUP, 5)]


def test_views_wait_while_the_hash_in_redis_is_full(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_counter, "MAX_UNFLUSHED", 2)
    monkeypatch.setattr(view_counter, "PUSH_BATCH_SIZE", 1)
    counter = counters(WINDOW)
    for number in range(1, 6):
        counter.record_view(ProductId(number))
    counter.push()
    counted = []
    while batch := counter.next_batch():
        counted.append(sorted(product for product, _ in batch.counts))
        counter.acknowledge(batch.id)
        counter.push()
    assert counted == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize(
    "field", ["garbage", "", "1", "1:x", "x:1", f"{2**63}:0", "0:0", "1:99999999999999", f"1:{10**400}"]
)
def test_malformed_entries_do_not_block_other_views(
    redis: Redis, counters: Counters, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    redis.hset(OPEN, field, "2")
    counter = counters(WINDOW)
    alone = counter.next_batch()
    assert alone is not None
    assert alone.counts == {}
    counter.acknowledge(alone.id)
    for count in ("x", "0", "-1", "1.5", str(2**63)):
        redis.hset(OPEN, f"{CUP}:{60 + len(count)}", count)
    counter.record_view(TEA)
    counter.push()
    batch = counter.next_batch()
    assert batch is not None
    assert [(product, count) for (product, _), count in batch.counts.items()] == [(TEA, 1)]
    counter.acknowledge(batch.id)
    assert counter.next_batch() is None
    assert caplog.text.count("malformed entries from the views in Redis") == 2


def test_closing_pushes_the_remaining_views(redis: Redis, clock: SettableClock) -> None:
    counter = RedisViewCounter(redis, secret=SECRET, window=WINDOW, now=lambda: clock.now().timestamp())
    counter.record_view(TEA, "Ann")
    counter.close()
    batch = counter.next_batch()
    assert batch is not None
    assert list(batch.counts.values()) == [1]


# --- from Redis to PostgreSQL


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> PostgresStore:
    return PostgresStore(engine)


def tasks(store: Store, views: ViewCounter, clock: SettableClock) -> BackgroundTasks:
    return BackgroundTasks(in_memory_market(clock, store=store), views, lambda: None)


SEAMS = [
    "views.next_batch:after", "products.mark_batch_applied:after", "products.add_views:after", "commit:before",
    "commit:after", "views.acknowledge:before", "views.acknowledge:after",
]  # fmt: skip


@pytest.mark.parametrize("seam", SEAMS)
def test_views_count_once_when_the_task_dies(
    engine: Engine, store: PostgresStore, counters: Counters, clock: SettableClock, seam: str
) -> None:
    stage = Stage(store)
    seller = stage.account()
    product = stage.product(seller, at=NOW - DAY)
    one, other = counters(WINDOW), counters(WINDOW)
    for counter, clients in ((one, "abc"), (other, "cde")):
        for client in clients:
            counter.record_view(product, client)
        counter.push()
    dying = Seams(FailPoints(lambda reached: reached == seam, crash))
    with pytest.raises(Crash):
        tasks(dying.store(store), dying.port("views", one), clock).flush_views()
    # The next hour begins before the next task.
    clock.advance(hours=1)
    other.record_view(product, "a")
    other.push()
    tasks(store, other, clock).flush_views()
    tasks(store, one, clock).flush_views()
    queries = PostgresQueries(engine)
    assert queries.products([product])[product].count_viewed == 6
    for series in (
        queries.product_series(product, Interval.HOUR, NOW - DAY, NOW + DAY),
        queries.seller_series(seller, "USD", Interval.HOUR, NOW - DAY, NOW + DAY),
    ):
        assert [point.sales.views for point in series] == [5, 1]


def test_two_tasks_count_one_batch_once(
    engine: Engine, store: PostgresStore, counters: Counters, clock: SettableClock
) -> None:
    product = Stage(store).product(at=NOW - DAY)
    counter = counters(WINDOW)
    counter.record_view(product)
    counter.push()
    batch = counter.next_batch()
    assert batch is not None
    market = in_memory_market(clock, store=store)
    assert market.catalog.record_views(batch)
    tasks(store, counter, clock).flush_views()
    assert PostgresQueries(engine).products([product])[product].count_viewed == 1
    assert counter.next_batch() is None


def test_views_wait_in_redis_while_postgresql_is_away(
    engine: Engine, store: PostgresStore, counters: Counters, clock: SettableClock
) -> None:
    product = Stage(store).product(at=NOW - DAY)
    counter = counters(WINDOW)
    gone = database_engine("postgresql://nobody@127.0.0.1:1/nothing")
    for _ in range(3):
        counter.record_view(product)
        counter.push()
        tasks(PostgresStore(gone), counter, clock).flush_views()
        clock.advance(hours=1)
    gone.dispose()
    tasks(store, counter, clock).flush_views()
    series = PostgresQueries(engine).product_series(product, Interval.HOUR, NOW - DAY, NOW + DAY)
    assert [point.sales.views for point in series] == [1, 1, 1]
