"""The HTTP cache: eviction, validity, loading, sharing, and responses over HTTP."""

import asyncio
import functools
import gc
import threading
import tracemalloc
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, cast

import pytest
from httpx2 import Response as Answered
from starlette.requests import Request
from starlette.responses import Response

from adapters.db.core.change_notifications import change_number
from adapters.http.cache.invalidation import (
    HEARTBEAT_TIMEOUT,
    LIST_STALENESS,
    MAX_TRACKED,
    CacheValidity,
    EventLoopListener,
)
from adapters.http.cache.list_cache import SNAPSHOT_REUSE_SECONDS, ListCache
from adapters.http.cache.list_dependencies import ANY_CHANGE
from adapters.http.cache.lru import ENTRY_OVERHEAD, AdmissionFilter, LruCache
from adapters.http.cache.product_cache import STALE_WHILE_REVALIDATE_SECONDS, ProductCache, ProductCacheEntry
from adapters.http.cache.shared_cache import SHARED_TTL_FRACTION, decode_entry, encode_entry
from adapters.http.cache.single_flight import SingleFlight
from adapters.http.framework.operation import Call
from adapters.http.resources import product_fast_path
from scalecommerce_core.domain.errors import NotFound, Overloaded, Unavailable
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.queries import PageRequest, ProductFilter, ProductQueries, ProductSearchPage, ProductView
from scalecommerce_core.testing.memory.queries import MemoryQueries
from tests.simulation.http_cache.test_cache_races import _view
from tests.unit.support.http_marketplace import PRODUCTS, Marketplace, Person, Visitor, answer, problem
from tests.unit.support.shared_cache import MemorySharedCache, SharedCacheContract, SharedCaches

TEA, POT = ProductId(1), ProductId(2)


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Database:
    """A stand-in for the queries: logs its reads, which block while `gate` is closed."""

    def __init__(self) -> None:
        self.number = 10
        self.version = 0
        self.reads: list[list[ProductId]] = []
        self.reading = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def visibility_horizon(self) -> int:
        return self.number

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        return self.snapshot(ids)[1]

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        if self.error is not None:
            raise self.error
        horizon = self.number
        found = {product: _view(product, self.version) for product in ids if product < 100}
        self.reads.append(list(ids))
        self.reading.set()
        assert self.gate.wait(5)
        return horizon, found

    def change(self, product: ProductId) -> CatalogChange:
        self.number += 1
        self.version += 1
        return CatalogChange(self.number - 1, frozenset({product}))


class CachingProcess:
    """The product cache of one process, with a permanent heartbeat unless a test ends it."""

    def __init__(self, shared: MemorySharedCache | None = None, limit: int = 10**6) -> None:
        self.time, self.database = Time(), Database()
        self.validity = CacheValidity(self.time)
        self.validity.on_start(self.database.number)
        self.validity.on_heartbeat(10**9)
        self.cache = ProductCache(
            cast(ProductQueries, self.database),
            self.validity,
            limit=limit,
            ttl_seconds=5,
            shared=shared,
            clock=self.time,
        )

    def notify(self, change: CatalogChange, *, is_local: bool = False) -> None:
        self.validity.on_change(change, is_local=is_local)
        self.cache.on_change(change)

    async def price(self, product: ProductId = TEA) -> int:
        return price_of(await self.cache.get(product))


def price_of(copy: ProductCacheEntry) -> int:
    assert copy.body is not None
    return int(copy.body.partition(b'"price":"1.')[2][:2])


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


# --- LRU cache


def test_the_least_recently_used_entry_is_evicted() -> None:
    lru: LruCache[str, str] = LruCache(8 * (ENTRY_OVERHEAD + 10))
    for name in "abcdefgh":
        lru.put(name, name.upper(), 10)
    assert lru.get("a") == "A"
    lru.put("i", "I", 10)
    assert lru.get("b") is None
    assert [lru.get(name) for name in "aci"] == ["A", "C", "I"]
    assert (len(lru), lru.size_bytes) == (8, 8 * (ENTRY_OVERHEAD + 10))


def test_a_value_above_an_eighth_of_the_limit_is_not_stored() -> None:
    lru: LruCache[str, str] = LruCache(8 * (ENTRY_OVERHEAD + 10))
    lru.put("a", "A", 10)
    lru.put("a", "AA", 11)
    assert lru.get("a") is None
    assert lru.size_bytes == 0


def test_replaced_and_discarded_entries_free_their_bytes() -> None:
    lru: LruCache[str, str] = LruCache(10**6)
    lru.put("a", "A", 10)
    lru.put("a", "B", 20)
    assert lru.peek("a") == "B"
    assert lru.size_bytes == ENTRY_OVERHEAD + 20
    lru.discard("a")
    lru.discard("a")
    assert (lru.size_bytes, lru.peek("a")) == (0, None)
    lru.put("b", "B", 10)
    lru.clear()
    assert (lru.size_bytes, len(lru)) == (0, 0)


def test_the_admission_filter_remembers_two_generations() -> None:
    met: AdmissionFilter[int] = AdmissionFilter(3)
    assert [met.seen_before(number) for number in (1, 1, 2)] == [False, True, False]
    assert [met.seen_before(number) for number in (3, 1, 4, 5, 6)] == [False, True, False, False, False]
    assert not met.seen_before(2)


# --- validity


def test_nothing_is_valid_before_the_feed_starts() -> None:
    validity = CacheValidity(Time())
    assert not validity.has_heartbeat(0)
    assert not validity.is_product_valid(10**12, TEA, None)
    assert not validity.on_change(CatalogChange(1, everything=True), is_local=False)


def test_the_heartbeat_times_out_and_is_requested_again() -> None:
    time = Time()
    validity = CacheValidity(time)
    asked: list[float] = []
    validity.keep_alive = lambda: asked.append(time.now)
    validity.on_start(1)
    validity.on_heartbeat(time.now)
    assert validity.has_heartbeat(time.now + HEARTBEAT_TIMEOUT - 0.01)
    assert not asked
    assert not validity.has_heartbeat(time.now + HEARTBEAT_TIMEOUT)
    assert asked == [100.0]
    validity.on_heartbeat(time.now + 1)
    validity.on_heartbeat(time.now + 1)
    assert asked == [100.0, 100.0], "one request per heartbeat with reads"


def test_an_entry_is_valid_if_its_snapshot_includes_every_change_of_product_and_seller() -> None:
    validity = CacheValidity(Time())
    validity.on_start(5)
    seller = AccountId(7)
    assert not validity.is_product_valid(4, TEA, seller)
    assert validity.is_product_valid(5, TEA, seller)
    validity.on_change(CatalogChange(8, frozenset({TEA})), is_local=False)
    # Transaction ids are not in the order of commits.
    validity.on_change(CatalogChange(6, frozenset({TEA}), frozenset({seller})), is_local=False)
    assert not validity.is_product_valid(8, TEA, seller)
    assert validity.is_product_valid(9, TEA, seller)
    assert validity.is_product_valid(7, POT, seller)
    assert not validity.is_product_valid(6, POT, seller)
    assert validity.on_change(CatalogChange(20, everything=True), is_local=False)
    assert not validity.is_product_valid(20, POT, None)


def test_lists_stay_valid_shortly_after_a_remote_change_and_not_after_a_local_one() -> None:
    time = Time()
    validity = CacheValidity(time)
    validity.on_start(5)
    validity.on_heartbeat(time.now)
    validity.on_change(CatalogChange(8), is_local=False)
    assert validity.is_list_valid(8, ANY_CHANGE)
    time.now += LIST_STALENESS
    assert not validity.is_list_valid(8, ANY_CHANGE)
    assert validity.is_list_valid(9, ANY_CHANGE)
    validity.on_change(CatalogChange(10), is_local=True)
    assert not validity.is_list_valid(10, ANY_CHANGE)


def test_a_late_notification_invalidates_lists_at_once() -> None:
    time = Time()
    validity = CacheValidity(time)
    validity.on_start(5)
    validity.on_heartbeat(time.now)
    # The process was suspended: the change may be as old as the last heartbeat.
    time.now += 10
    validity.on_change(CatalogChange(8), is_local=False)
    validity.on_heartbeat(time.now - 0.1)
    assert validity.has_heartbeat(time.now)
    assert not validity.is_list_valid(8, ANY_CHANGE)
    validity.on_change(CatalogChange(9), is_local=False)
    assert validity.is_list_valid(9, ANY_CHANGE)


def test_changes_beyond_the_tracking_limit_invalidate_everything_up_to_the_newest() -> None:
    validity = CacheValidity(Time())
    validity.on_start(5)
    many = range(1000, 1001 + MAX_TRACKED)
    assert not validity.on_change(CatalogChange(8, frozenset(map(ProductId, many))), is_local=False)
    assert not validity.is_product_valid(8, TEA, None)
    assert validity.is_product_valid(9, TEA, None)
    assert validity.on_change(CatalogChange(12, sellers=frozenset(map(AccountId, many))), is_local=False)
    assert not validity.is_product_valid(12, TEA, None)


# --- loading


def test_concurrent_requests_cost_one_read_per_product() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        process.database.gate.clear()
        waiting = [asyncio.ensure_future(process.price()) for _ in range(50)]
        await asyncio.to_thread(process.database.reading.wait, 5)
        waiting += [asyncio.ensure_future(process.price(product)) for product in (TEA, POT)]
        await asyncio.sleep(0)
        process.database.gate.set()
        assert set(await asyncio.gather(*waiting)) == {0}
        assert await process.price() == 0
        assert process.database.reads == [[TEA], [POT]]
        await process.cache.close()

    run(scenario())


def test_a_cancelled_request_does_not_cancel_the_load_of_others() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        process.database.gate.clear()
        first, second = (asyncio.ensure_future(process.price()) for _ in range(2))
        await asyncio.to_thread(process.database.reading.wait, 5)
        first.cancel()
        process.database.gate.set()
        assert await second == 0
        assert process.database.reads == [[TEA]]
        await process.cache.close()

    run(scenario())


@pytest.mark.parametrize("is_local", [True, False])
def test_a_load_from_before_a_change_is_neither_stored_nor_joined_after_it(is_local: bool) -> None:
    async def scenario() -> None:
        process = CachingProcess()
        process.database.gate.clear()
        early = asyncio.ensure_future(process.price())
        await asyncio.to_thread(process.database.reading.wait, 5)
        process.notify(process.database.change(TEA), is_local=is_local)
        late = asyncio.ensure_future(process.price())
        await asyncio.sleep(0)
        process.database.gate.set()
        assert (await early, await late) == (0, 1)
        assert await process.price() == 1
        assert process.database.reads == [[TEA], [TEA]]
        await process.cache.close()

    run(scenario())


def test_a_change_removes_the_entry_and_its_second_notification_does_not() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        await process.price(), await process.price(POT)
        change = process.database.change(TEA)
        process.notify(change, is_local=True)
        assert await process.price() == 1
        process.notify(change)
        assert [await process.price(), await process.price(POT)] == [1, 0]
        assert process.database.reads == [[TEA], [POT], [TEA]]
        await process.cache.close()

    run(scenario())


def test_a_change_of_a_seller_invalidates_the_entries_of_its_products() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        await process.price()
        process.notify(CatalogChange(process.database.change(TEA).number, sellers=frozenset({AccountId(8)})))
        assert await process.price() == 0
        process.notify(CatalogChange(process.database.change(TEA).number, sellers=frozenset({AccountId(7)})))
        assert await process.price() == 2
        await process.cache.close()

    run(scenario())


def fail_over(process: CachingProcess, xid: int) -> None:
    """Promote a standby that gives this transaction id next; the feed has not connected to it yet."""
    process.database.number = change_number(2, xid)


def test_a_change_after_a_failover_invalidates_entries_though_transaction_ids_went_back() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        process.database.number = change_number(1, 1_000)
        process.validity.on_start(process.database.number)
        process.validity.on_heartbeat(10**9)
        assert await process.price() == 0
        fail_over(process, 980)
        # The process that made the change must not answer with the old price, even before its feed restarts.
        process.notify(process.database.change(TEA), is_local=True)
        assert process.cache.get_valid(TEA) is None
        assert await process.price() == 1

    run(scenario())


def test_a_load_from_a_former_primary_is_not_stored_after_a_failover() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        process.database.number = change_number(1, 1_000)
        process.database.gate.clear()
        loading = asyncio.ensure_future(process.cache.get(TEA))
        await asyncio.to_thread(process.database.reading.wait, 5)
        fail_over(process, 980)
        process.validity.on_start(process.database.number)
        process.validity.on_heartbeat(10**9)
        process.database.gate.set()
        await loading
        assert process.cache.get_valid(TEA) is None

    run(scenario())


def test_shared_entries_of_a_former_primary_are_not_used_after_a_failover() -> None:
    async def scenario() -> None:
        shared = MemorySharedCache()
        former, later = CachingProcess(shared), CachingProcess(shared)
        former.database.number = change_number(1, 1_000)
        former.validity.on_start(former.database.number)
        former.validity.on_heartbeat(10**9)
        for _ in range(2):
            # Only products that are requested again are shared.
            await former.cache.load(TEA)
        assert shared.get([f"product:{TEA}"]) != [None]
        fail_over(later, 980)
        later.validity.on_start(later.database.number)
        later.validity.on_heartbeat(10**9)
        later.database.version = 7
        for _ in range(2):
            assert price_of(await later.cache.load(TEA)) == 7

    run(scenario())


def test_a_missing_product_is_cached_until_it_is_created() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        for _ in range(3):
            assert (await process.cache.get(ProductId(100))).body is None
        assert len(process.database.reads) == 1
        process.notify(process.database.change(ProductId(100)))
        await process.cache.get(ProductId(100))
        assert len(process.database.reads) == 2
        await process.cache.close()

    run(scenario())


def test_without_a_heartbeat_every_request_reads_the_database() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        await process.price()
        process.validity.on_heartbeat(float("-inf"))
        process.database.change(TEA)
        assert await process.price() == 1
        assert process.cache.get_valid(TEA) is None
        await process.cache.close()

    run(scenario())


def test_entries_past_their_ttl_are_reloaded_together() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        await asyncio.gather(process.price(), process.price(POT))
        before = len(process.database.reads)
        process.database.version += 1
        process.time.now += 5
        assert [await process.price(), await process.price(POT), await process.price()] == [0, 0, 0]
        process.database.reading.clear()
        await asyncio.to_thread(process.database.reading.wait, 5)
        async with asyncio.timeout(5):
            while await process.price() == 0:  # noqa: ASYNC110 - the refresh sets no event
                await asyncio.sleep(0.01)
        assert [sorted(read) for read in process.database.reads[before:]] == [[TEA, POT]]
        process.time.now += 5 + STALE_WHILE_REVALIDATE_SECONDS
        assert process.cache.get_valid(TEA) is None
        await process.cache.close()

    run(scenario())


def test_an_error_reaches_every_waiting_request_and_is_not_cached() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        process.database.error = Unavailable("away")
        told = await asyncio.gather(process.price(), process.price(), return_exceptions=True)
        assert {type(each) for each in told} == {Unavailable}
        process.database.error = None
        assert await process.price() == 0
        await process.cache.close()

    run(scenario())


def test_a_load_is_not_joinable_after_the_heartbeat_timeout() -> None:
    async def scenario() -> None:
        time = Time()
        flights: SingleFlight[str, int] = SingleFlight(time)
        landed: list[tuple[str, int]] = []
        flight = flights.start("a", lambda key, value: landed.append((key, value)))
        assert flights.find_joinable("a") is flight
        waiting = flight.wait()
        time.now += HEARTBEAT_TIMEOUT
        assert flights.find_joinable("a") is None
        assert "a" in flights
        flight.set_result(3)
        assert "a" not in flights
        assert landed == [("a", 3)]
        assert await waiting == 3

    run(scenario())


def test_a_cancelled_waiter_leaves_the_other_waiters_their_result() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        flight = flights.start("a", lambda *_: None)
        gone, stays = flight.wait(), flight.wait()
        gone.cancel()
        flight.set_result(3)
        assert await stays == 3

    run(scenario())


def test_a_load_that_the_full_queue_rejects_raises_overloaded() -> None:
    async def scenario() -> None:
        process = CachingProcess()
        await process.cache.close()
        for _ in range(2):
            with pytest.raises(Overloaded):
                await asyncio.wait_for(process.price(), 5)

    run(scenario())


# --- shared cache


def test_recurring_products_are_shared_and_valid_shared_entries_are_used() -> None:
    async def scenario() -> None:
        shared = MemorySharedCache()
        one, other = CachingProcess(shared), CachingProcess(shared)
        for process in (one, other):
            await process.price()
        assert shared.entries == {}
        for process in (one, other):
            process.notify(process.database.change(TEA))
        assert await one.price() == 1
        assert list(shared.entries) == ["product:1"]
        assert await other.price() == 1
        assert len(other.database.reads) == 1
        # A change that the shared entry does not include.
        other.notify(other.database.change(TEA))
        assert await other.price() == 2
        assert len(other.database.reads) == 2
        await one.cache.close()
        await other.cache.close()

    run(scenario())


def test_the_ttl_also_bounds_the_age_of_entries_from_the_shared_cache() -> None:
    async def scenario() -> None:
        shared = MemorySharedCache()
        one, other = CachingProcess(shared), CachingProcess(shared)
        for process in (one, other):
            await process.price()
            process.cache.clear()
        await one.price()
        # The latest moment at which Redis holds the entry.
        other.time.now += 5 * SHARED_TTL_FRACTION
        assert await other.price() == 0
        assert len(other.database.reads) == 1
        shared.entries.clear()
        other.database.version += 1
        other.time.now += 5 - 5 * SHARED_TTL_FRACTION + STALE_WHILE_REVALIDATE_SECONDS
        assert await other.price() == 1
        await one.cache.close()
        await other.cache.close()

    run(scenario())


@pytest.mark.parametrize("content", [None, b"", b"nonsense", encode_entry(10**9, 7, "", b"x")[:-1]])
def test_malformed_shared_entries_are_ignored(content: bytes | None) -> None:
    assert decode_entry(content) is None


class TestMemorySharedCache(SharedCacheContract):
    @pytest.fixture
    def caches(self) -> SharedCaches:
        return functools.cache(MemorySharedCache)


# --- lists


def listing(address: str) -> Call[None, None]:
    path, _, query = address.partition("?")
    scope = {"type": "http", "path": path, "query_string": query.encode(), "headers": [], "server": ("process", 80)}
    return Call(Request(scope), None, None, None)


async def in_thread(work: Callable[..., Any], *given: Any) -> Any:
    return work(*given)


def test_long_urls_take_no_memory() -> None:
    async def scenario() -> None:
        validity = CacheValidity(Time())
        validity.on_start(1)
        validity.on_heartbeat(10**9)
        lists = ListCache(lambda: 10, validity, in_thread, limit=10**6, ttl_seconds=5, shared=MemorySharedCache())
        made: list[bytes] = []

        async def make(call: Call[None, None]) -> Response:
            made.append(call.request.scope["query_string"])
            return Response(b"{}")

        cached = lists.cached(make)
        await cached(listing("/list/?first"))
        tracemalloc.start()
        try:
            for number in range(20):
                await cached(listing(f"/list/?{number}{'x' * 60_000}"))
                made.clear()
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 10 * 60_000
        await cached(listing(f"/list/?7{'x' * 60_000}"))
        assert made == []
        await cached(listing(f"/list/?7{'x' * 59_999}y"))
        assert len(made) == 1

    run(scenario())


def test_lists_loaded_at_the_same_time_share_one_read_of_the_horizon() -> None:
    async def scenario() -> None:
        time, validity, reads, failures = Time(), CacheValidity(Time()), 0, list[Exception]()
        validity.on_start(5)
        validity.on_heartbeat(time.now)

        async def in_a_moment(work: Callable[..., Any], *given: Any) -> Any:
            await asyncio.sleep(0)
            return work(*given)

        def horizon() -> int:
            nonlocal reads
            reads += 1
            if failures:
                raise failures.pop()
            return 10

        async def make(_call: Call[None, None]) -> Response:
            return Response(b"{}")

        lists = ListCache(horizon, validity, in_a_moment, limit=10**6, ttl_seconds=5, clock=time)
        cached = lists.cached(make)
        failures.append(Unavailable("The database is away."))
        with pytest.raises(Unavailable):
            await cached(listing("/list/"))
        reads = 0
        await asyncio.gather(*(cached(listing(f"/list/?{number}")) for number in range(5)))
        assert reads == 1
        # A local change is newer than the shared horizon.
        lists.on_local_change()
        await cached(listing("/list/?5"))
        assert reads == 2
        time.now += 2 * SNAPSHOT_REUSE_SECONDS
        await cached(listing("/list/?6"))
        assert reads == 3

    run(scenario())


# --- event loop


def test_notifications_reach_the_loop_before_the_result_of_the_thread() -> None:
    async def scenario() -> None:
        heard: list[int] = []

        class Listener:
            def on_start(self, number: int) -> None:
                heard.append(number)

            def on_change(self, change: CatalogChange, *, is_local: bool) -> None:
                heard.append(change.number * (10 if is_local else 1))

            def on_heartbeat(self, moment: float) -> None:
                heard.append(int(moment))

        listener = EventLoopListener(asyncio.get_running_loop(), Listener())

        def commit() -> int:
            listener.on_start(1)
            listener.on_change(CatalogChange(2))
            listener.on_local_change(CatalogChange(3))
            listener.on_heartbeat(4)
            return len(heard)

        await asyncio.get_running_loop().run_in_executor(None, commit)
        assert heard == [1, 2, 30, 4]

    run(scenario())


def test_notifications_for_a_closed_loop_are_dropped() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    EventLoopListener(loop, cast(Any, None)).on_start(1)


# --- over HTTP


def path_of(product: Any) -> str:
    return f"{PRODUCTS}{product['id']}/"


def reads_of(place: Marketplace, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    reads: list[list[int]] = []
    queries = cast(Any, place.market.queries)
    before = queries.products

    def products(ids: Collection[ProductId]) -> Any:
        reads.append(sorted(ids))
        return before(ids)

    monkeypatch.setattr(queries, "products", products)
    return reads


def test_strangers_share_an_entry_and_see_a_change_at_once(
    place: Marketplace, seller: Person, buyer: Person, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = seller.list()
    reads = reads_of(place, monkeypatch)
    for who in (anybody, buyer, anybody, buyer):
        assert answer(who.get(path_of(product)))["price"] == "10.00"
    assert reads == [[product["id"]]]
    for price in ("11.00", "12.00", "13.00"):
        answer(seller.patch(path_of(product), {"price": price}))
        for who in (anybody, buyer):
            assert answer(who.get(path_of(product)))["price"] == price
            assert answer(who.get(f"{PRODUCTS}?seller={seller.id}"))["results"][0]["price"] == price


def test_fields_of_sellers_and_staff_are_not_cached_for_strangers(
    seller: Person, buyer: Person, anybody: Visitor, staff: Person
) -> None:
    product = seller.list(cost="4.00", min_price="8.00", max_price="12.00", sku="T-1")
    for _ in range(2):
        for who in (seller, staff):
            response = seller.get(path_of(product)) if who is seller else staff.get(path_of(product))
            assert answer(response)["cost"] == "4.00"
            assert response.headers["cache-control"] == "private, no-store"
        for stranger, cache_control in ((anybody, "public, no-cache"), (buyer, "private, no-cache")):
            response = stranger.get(path_of(product))
            assert not {"cost", "min_price", "max_price", "sku"} & answer(response).keys()
            assert response.headers["cache-control"] == cache_control
            assert response.headers["vary"] == "Authorization"


def test_an_etag_of_the_public_form_does_not_match_the_private_form(
    seller: Person, buyer: Person, anybody: Visitor, staff: Person
) -> None:
    page = path_of(seller.list(cost="4.00"))
    public, own = anybody.get(page).headers["etag"], seller.get(page).headers["etag"]
    for who, tag, other in ((anybody, public, own), (buyer, public, own), (seller, own, public), (staff, own, public)):
        assert who.get(page, headers={"If-None-Match": tag}).status_code == 304
        assert who.get(page, headers={"If-None-Match": other}).status_code == 200
    # Both tags are of one version, so both satisfy If-Match.
    edited = seller.patch(page, {"cost": "5.00"}, headers={"If-Match": public})
    assert edited.headers["etag"] == seller.get(page).headers["etag"] != own
    problem(seller.patch(page, {"cost": "6.00"}, headers={"If-Match": own}), 412)


def test_a_renamed_seller_changes_the_etag_of_its_products(seller: Person, anybody: Visitor) -> None:
    page = path_of(seller.list())
    tag = anybody.get(page).headers["etag"]
    answer(seller.patch("/users/api/v1/me/", {"first_name": "Grace"}))
    assert answer(anybody.get(page, headers={"If-None-Match": tag}))["seller"]["first_name"] == "Grace"


def test_an_inactive_product_is_hidden_from_strangers_only(
    seller: Person, buyer: Person, anybody: Visitor, staff: Person
) -> None:
    product = seller.list()
    answer(anybody.get(path_of(product)))
    answer(seller.patch(path_of(product), {"is_active": False}))
    for _ in range(2):
        for stranger in (anybody, buyer):
            problem(stranger.get(path_of(product)), 404)
        for who in (seller, staff):
            assert answer(who.get(path_of(product)))["is_active"] is False
    answer(seller.patch(path_of(product), {"is_active": True}))
    answer(anybody.get(path_of(product)))
    assert seller.delete(path_of(product)).status_code == 204
    problem(anybody.get(path_of(product)), 404)


def test_a_cached_404_ends_when_the_product_is_created(
    place: Marketplace, seller: Person, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = seller.list()["id"] + 1
    reads = reads_of(place, monkeypatch)
    for _ in range(3):
        problem(anybody.get(f"{PRODUCTS}{following}/"), 404)
    assert reads == [[following]]
    assert seller.list()["id"] == following
    answer(anybody.get(f"{PRODUCTS}{following}/"))


def test_changes_of_stock_and_names_show_at_once(
    place: Marketplace, seller: Person, buyer: Person, anybody: Visitor
) -> None:
    product = seller.list(stock=5)
    assert answer(anybody.get(path_of(product)))["stock"] == 5
    place.reserve(buyer, (product["id"], 2))
    assert answer(anybody.get(path_of(product)))["stock"] == 3
    answer(seller.patch("/users/api/v1/me/", {"first_name": "Grace"}))
    assert answer(anybody.get(path_of(product)))["seller"]["first_name"] == "Grace"
    assert answer(anybody.get(f"{PRODUCTS}?seller={seller.id}"))["results"][0]["seller"]["first_name"] == "Grace"


def test_lists_and_categories_are_cached_and_revalidated_by_etag(
    seller: Person, anybody: Visitor, staff: Person
) -> None:
    seller.list()
    tags = {}
    for path in (f"{PRODUCTS}?seller={seller.id}&facets=brand", f"{PRODUCTS}categories/"):
        first = anybody.get(path)
        assert first.headers["cache-control"] == "public, no-cache"
        again = anybody.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        tags[path] = again.headers["etag"]
        assert tags[path] == first.headers["etag"]
    answer(staff.post(f"{PRODUCTS}categories/", {"name": f"Pots of {seller.id}"}), 201)
    path, tag = tags.popitem()
    assert anybody.get(path, headers={"If-None-Match": tag}).status_code == 200
    problem(anybody.get(f"{PRODUCTS}?page_size=0"), 400, "page_size")


def test_an_edit_loads_only_the_lists_again_that_it_concerns(
    seller: Person, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = seller.list(name="Tea pot", category_id=5)
    seller.list(name="Tea cup", category_id=5)
    mine = f"{PRODUCTS}?category=5&seller={seller.id}"
    newest, by_price, search = f"{mine}&page_size=1", f"{mine}&page_size=1&ordering=-price", f"{mine}&search=cup"
    loaded: list[str] = []
    load = MemoryQueries.search

    def recorded(queries: MemoryQueries, criteria: ProductFilter, page: PageRequest) -> ProductSearchPage:
        loaded.append(criteria.search or criteria.sort_order)
        return load(queries, criteria, page)

    monkeypatch.setattr(MemoryQueries, "search", recorded)
    for edit, loads in (
        ({}, ["-created_at", "-price", "cup"]),
        ({"price": "11.00"}, ["-price"]),
        ({"stock": 3}, ["-price"]),
        ({"name": "Coffee pot"}, ["-price", "cup"]),
        ({"category_id": 6}, ["-created_at", "-price", "cup"]),
    ):
        answer(seller.patch(path_of(first), edit))
        loaded.clear()
        for path in (newest, by_price, search):
            answer(anybody.get(path))
        assert loaded == loads, edit


def test_every_operation_with_an_etag_documents_it(place: Marketplace, seller: Person) -> None:
    product, tagged = seller.list(), set()
    for path, methods in place.client.get("/openapi.json").json()["paths"].items():
        if "get" not in methods:
            continue
        operation, address = methods["get"], path.replace("{id}", str(product["id"]))
        found = seller.get(address)
        if found.status_code != 200:
            continue
        says = {
            "304" in operation["responses"],
            "ETag" in operation["responses"]["200"].get("headers", {}),
            "If-None-Match" in {each["name"] for each in operation.get("parameters", [])},
        }
        assert says == {"etag" in found.headers}, path
        if "etag" in found.headers:
            assert seller.get(address, headers={"If-None-Match": found.headers["etag"]}).status_code == 304
            tagged.add(path)
    assert tagged == {PRODUCTS, f"{PRODUCTS}{{id}}/", f"{PRODUCTS}categories/", "/pricing/api/v1/policy-kinds/"}


# Requests that the fast path handles, and requests that it leaves to the router.
REQUESTS: list[dict[str, str]] = [
    {},
    {"Accept": "application/json"},
    {"Accept": "text/html, */*;q=0.1"},
    {"Accept": "text/html"},
    {"If-None-Match": '"v1"'},
    {"If-None-Match": '"v2"'},
    {"If-None-Match": 'W/"v1"'},
    {"If-None-Match": '"v7", "v1"'},
    {"If-None-Match": "*"},
    {"Content-Length": "0"},
    {"Content-Length": "99999999"},
    {"Content-Length": "many"},
    {"Authorization": "Bearer nonsense"},
    {"Authorization": "Basic nonsense"},
    {"Authorization": "Bearer"},
    {"X-Request-Id": "a-request-of-mine"},
    {"X-Request-Id": "no"},
]


@pytest.mark.parametrize("headers", REQUESTS)
@pytest.mark.parametrize("who", ["anybody", "buyer", "seller", "staff"])
def test_the_fast_path_responds_as_the_router_does(
    place: Marketplace, request: pytest.FixtureRequest, who: str, headers: dict[str, str]
) -> None:
    seller, asks = request.getfixturevalue("seller"), request.getfixturevalue(who)
    product = seller.list()
    tag = asks.get(path_of(product)).headers["etag"]
    headers = {name: value.replace('"v1"', tag) for name, value in headers.items()}
    middleware = cast(Any, place.client)._transport._app.middleware_stack
    for path in (path_of(product), f"{PRODUCTS}999999/", f"{PRODUCTS}0/", f"{PRODUCTS}{2**63}/", f"{PRODUCTS}x/"):
        short = [asks.get(path, headers=headers) for _ in range(2)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(middleware, "_fast_path", None)
            long = asks.get(path, headers=headers)
        for each in short:
            assert _told(each) == _told(long)


def _told(response: Answered) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return the response without generated request ids."""
    kept = [(name, value) for name, value in response.headers.multi_items() if name != "x-request-id"]
    if (given := response.headers["x-request-id"]) == "a-request-of-mine":
        kept.append(("x-request-id", given))
    return response.status_code, sorted(kept), response.content


def test_the_fast_path_counts_views(place: Marketplace, seller: Person, buyer: Person, anybody: Visitor) -> None:
    product = ProductId(seller.list()["id"])
    for who in (anybody, buyer):
        first = who.get(f"{PRODUCTS}{product}/")
        who.get(f"{PRODUCTS}{product}/", headers={"If-None-Match": first.headers["etag"]})
    place.flush_views()
    assert place.market.queries.products([product])[product].count_viewed == 4


def test_the_number_of_remembered_paths_is_bounded(
    place: Marketplace, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product_fast_path, "MAX_PATHS", 3)
    fast_path = cast(Any, place.client)._transport._app.fast_path
    fast_path._products.clear()
    for number in range(1, 9):
        anybody.get(f"{PRODUCTS}{number}/")
        assert fast_path._products[f"{PRODUCTS}{number}/"] == number
        assert len(fast_path._products) <= 3


def test_the_fast_path_responds_503_while_the_database_is_away(
    place: Marketplace, seller: Person, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = seller.list()

    def away(_: object) -> Any:
        raise Unavailable("The database cannot be reached.")

    monkeypatch.setattr(place.market.queries, "products", away)
    response = anybody.get(path_of(product))
    problem(response, 503)
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["cache-control"] == "no-store"
    assert NotFound.code not in response.text
