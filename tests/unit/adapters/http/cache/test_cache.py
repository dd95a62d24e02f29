"""What is kept, for how long, and who is given it."""

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import cache
from typing import Any, cast

import pytest
from httpx2 import Response as Answered
from starlette.requests import Request
from starlette.responses import Response

from adapters.http.cache.invalidation import (
    HEARTBEAT_TIMEOUT,
    LIST_STALENESS,
    MAX_TRACKED,
    CacheValidity,
    EventLoopListener,
)
from adapters.http.cache.list_cache import SNAPSHOT_REUSE_SECONDS, ListCache
from adapters.http.cache.lru import ENTRY_OVERHEAD, AdmissionFilter, LruCache
from adapters.http.cache.product_cache import STALE_WHILE_REVALIDATE_SECONDS, ProductCache, ProductCacheEntry
from adapters.http.cache.shared_cache import SHARED_TTL_FRACTION, decode_entry, encode_entry
from adapters.http.cache.single_flight import SingleFlight
from adapters.http.framework.operation import Call
from scalecommerce_core.domain.errors import NotFound, Overloaded, Unavailable
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.queries import ProductQueries, ProductView
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
    """Counts its reads, and lets nobody go on while `gate` is closed."""

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


class Shop:
    """One process's copies, which trust what they heard unless a test says otherwise."""

    def __init__(self, shared: MemorySharedCache | None = None, limit: int = 10**6) -> None:
        self.time, self.database = Time(), Database()
        self.validity = CacheValidity(self.time)
        self.validity.on_start(self.database.number)
        self.validity.on_heartbeat(10**9)
        self.copies = ProductCache(
            cast(ProductQueries, self.database),
            self.validity,
            limit=limit,
            ttl_seconds=5,
            shared=shared,
            clock=self.time,
        )

    def hear(self, change: CatalogChange, *, is_local: bool = False) -> None:
        self.validity.on_change(change, is_local=is_local)
        self.copies.on_change(change)

    async def price(self, product: ProductId = TEA) -> int:
        return price_of(await self.copies.get(product))


def price_of(copy: ProductCacheEntry) -> int:
    assert copy.body is not None
    return int(copy.body.partition(b'"price":"1.')[2][:2])


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


# --- room


def test_what_was_not_looked_at_for_longest_makes_room() -> None:
    kept: LruCache[str, str] = LruCache(8 * (ENTRY_OVERHEAD + 10))
    for name in "abcdefgh":
        kept.put(name, name.upper(), 10)
    assert kept.get("a") == "A"
    kept.put("i", "I", 10)
    assert kept.get("b") is None
    assert [kept.get(name) for name in "aci"] == ["A", "C", "I"]
    assert (len(kept), kept.size_bytes) == (8, 8 * (ENTRY_OVERHEAD + 10))


def test_what_would_take_all_the_room_is_not_kept() -> None:
    kept: LruCache[str, str] = LruCache(8 * (ENTRY_OVERHEAD + 10))
    kept.put("a", "A", 10)
    kept.put("a", "AA", 11)
    assert kept.get("a") is None
    assert kept.size_bytes == 0


def test_room_is_given_back() -> None:
    kept: LruCache[str, str] = LruCache(10**6)
    kept.put("a", "A", 10)
    kept.put("a", "B", 20)
    assert kept.peek("a") == "B"
    assert kept.size_bytes == ENTRY_OVERHEAD + 20
    kept.discard("a")
    kept.discard("a")
    assert (kept.size_bytes, kept.peek("a")) == (0, None)
    kept.put("b", "B", 10)
    kept.clear()
    assert (kept.size_bytes, len(kept)) == (0, 0)


def test_what_recurs_is_known_for_a_while() -> None:
    met: AdmissionFilter[int] = AdmissionFilter(3)
    assert [met.seen_before(number) for number in (1, 1, 2)] == [False, True, False]
    assert [met.seen_before(number) for number in (3, 1, 4, 5, 6)] == [False, True, False, False, False]
    assert not met.seen_before(2)


# --- validity


def test_nothing_is_good_before_anything_was_heard() -> None:
    validity = CacheValidity(Time())
    assert not validity.has_heartbeat(0)
    assert not validity.is_product_valid(10**12, TEA, None)
    assert not validity.on_change(CatalogChange(1, everything=True), is_local=False)


def test_trust_ends_when_nothing_is_heard_and_is_asked_for() -> None:
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
    assert asked == [100.0, 100.0], "once for each time that somebody looked"


def test_a_copy_is_good_if_it_has_seen_each_change_of_it_and_of_its_seller() -> None:
    validity = CacheValidity(Time())
    validity.on_start(5)
    seller = AccountId(7)
    assert not validity.is_product_valid(4, TEA, seller)
    assert validity.is_product_valid(5, TEA, seller)
    validity.on_change(CatalogChange(8, frozenset({TEA})), is_local=False)
    # Numbers are not in the order of commits.
    validity.on_change(CatalogChange(6, frozenset({TEA}), frozenset({seller})), is_local=False)
    assert not validity.is_product_valid(8, TEA, seller)
    assert validity.is_product_valid(9, TEA, seller)
    assert validity.is_product_valid(7, POT, seller)
    assert not validity.is_product_valid(6, POT, seller)
    assert validity.on_change(CatalogChange(20, everything=True), is_local=False)
    assert not validity.is_product_valid(20, POT, None)


def test_lists_stand_for_a_moment_after_a_change_elsewhere_and_not_after_one_here() -> None:
    time = Time()
    validity = CacheValidity(time)
    validity.on_start(5)
    validity.on_heartbeat(time.now)
    validity.on_change(CatalogChange(8), is_local=False)
    assert validity.are_lists_valid(8)
    time.now += LIST_STALENESS
    assert not validity.are_lists_valid(8)
    assert validity.are_lists_valid(9)
    validity.on_change(CatalogChange(10), is_local=True)
    assert not validity.are_lists_valid(10)


def test_news_that_was_long_under_way_changes_lists_at_once() -> None:
    time = Time()
    validity = CacheValidity(time)
    validity.on_start(5)
    validity.on_heartbeat(time.now)
    # As when the process, or its network, stood still: the change may be as old as what was heard last.
    time.now += 10
    validity.on_change(CatalogChange(8), is_local=False)
    validity.on_heartbeat(time.now - 0.1)
    assert validity.has_heartbeat(time.now)
    assert not validity.are_lists_valid(8)
    validity.on_change(CatalogChange(9), is_local=False)
    assert validity.are_lists_valid(9)


def test_what_is_forgotten_singly_is_remembered_together() -> None:
    validity = CacheValidity(Time())
    validity.on_start(5)
    many = range(1000, 1001 + MAX_TRACKED)
    assert not validity.on_change(CatalogChange(8, frozenset(map(ProductId, many))), is_local=False)
    assert not validity.is_product_valid(8, TEA, None)
    assert validity.is_product_valid(9, TEA, None)
    assert validity.on_change(CatalogChange(12, sellers=frozenset(map(AccountId, many))), is_local=False)
    assert not validity.is_product_valid(12, TEA, None)


# --- loading


def test_many_who_ask_at_once_cost_one_read() -> None:
    async def scenario() -> None:
        shop = Shop()
        shop.database.gate.clear()
        waiting = [asyncio.ensure_future(shop.price()) for _ in range(50)]
        await asyncio.to_thread(shop.database.reading.wait, 5)
        waiting += [asyncio.ensure_future(shop.price(product)) for product in (TEA, POT)]
        await asyncio.sleep(0)
        shop.database.gate.set()
        assert set(await asyncio.gather(*waiting)) == {0}
        assert await shop.price() == 0
        assert shop.database.reads == [[TEA], [POT]]
        await shop.copies.close()

    run(scenario())


def test_one_who_goes_away_leaves_the_others_their_answer() -> None:
    async def scenario() -> None:
        shop = Shop()
        shop.database.gate.clear()
        first, second = (asyncio.ensure_future(shop.price()) for _ in range(2))
        await asyncio.to_thread(shop.database.reading.wait, 5)
        first.cancel()
        shop.database.gate.set()
        assert await second == 0
        assert shop.database.reads == [[TEA]]
        await shop.copies.close()

    run(scenario())


@pytest.mark.parametrize("is_local", [True, False])
def test_what_was_read_before_a_change_is_neither_kept_nor_given_to_who_comes_after_it(is_local: bool) -> None:
    async def scenario() -> None:
        shop = Shop()
        shop.database.gate.clear()
        early = asyncio.ensure_future(shop.price())
        await asyncio.to_thread(shop.database.reading.wait, 5)
        shop.hear(shop.database.change(TEA), is_local=is_local)
        late = asyncio.ensure_future(shop.price())
        await asyncio.sleep(0)
        shop.database.gate.set()
        assert (await early, await late) == (0, 1)
        assert await shop.price() == 1
        assert shop.database.reads == [[TEA], [TEA]]
        await shop.copies.close()

    run(scenario())


def test_a_change_takes_the_copy_away_and_hearing_of_it_again_does_not() -> None:
    async def scenario() -> None:
        shop = Shop()
        await shop.price(), await shop.price(POT)
        change = shop.database.change(TEA)
        shop.hear(change, is_local=True)
        assert await shop.price() == 1
        shop.hear(change)
        assert [await shop.price(), await shop.price(POT)] == [1, 0]
        assert shop.database.reads == [[TEA], [POT], [TEA]]
        await shop.copies.close()

    run(scenario())


def test_a_seller_with_another_name_takes_their_copies_away() -> None:
    async def scenario() -> None:
        shop = Shop()
        await shop.price()
        shop.hear(CatalogChange(shop.database.change(TEA).number, sellers=frozenset({AccountId(8)})))
        assert await shop.price() == 0
        shop.hear(CatalogChange(shop.database.change(TEA).number, sellers=frozenset({AccountId(7)})))
        assert await shop.price() == 2
        await shop.copies.close()

    run(scenario())


def test_what_is_not_there_is_known_until_it_is() -> None:
    async def scenario() -> None:
        shop = Shop()
        for _ in range(3):
            assert (await shop.copies.get(ProductId(100))).body is None
        assert len(shop.database.reads) == 1
        shop.hear(shop.database.change(ProductId(100)))
        await shop.copies.get(ProductId(100))
        assert len(shop.database.reads) == 2
        await shop.copies.close()

    run(scenario())


def test_without_trust_everything_is_read_and_nothing_shown_from_before() -> None:
    async def scenario() -> None:
        shop = Shop()
        await shop.price()
        shop.validity.on_heartbeat(float("-inf"))
        shop.database.change(TEA)
        assert await shop.price() == 1
        assert shop.copies.get_valid(TEA) is None
        await shop.copies.close()

    run(scenario())


def test_a_copy_that_has_had_its_time_is_made_anew_with_others() -> None:
    async def scenario() -> None:
        shop = Shop()
        await asyncio.gather(shop.price(), shop.price(POT))
        before = len(shop.database.reads)
        shop.database.version += 1
        shop.time.now += 5
        assert [await shop.price(), await shop.price(POT), await shop.price()] == [0, 0, 0]
        shop.database.reading.clear()
        await asyncio.to_thread(shop.database.reading.wait, 5)
        async with asyncio.timeout(5):
            while await shop.price() == 0:  # noqa: ASYNC110 - nobody tells when a copy is there
                await asyncio.sleep(0.01)
        assert [sorted(read) for read in shop.database.reads[before:]] == [[TEA, POT]]
        shop.time.now += 5 + STALE_WHILE_REVALIDATE_SECONDS
        assert shop.copies.get_valid(TEA) is None
        await shop.copies.close()

    run(scenario())


def test_an_error_is_told_to_all_who_wait_and_not_kept() -> None:
    async def scenario() -> None:
        shop = Shop()
        shop.database.error = Unavailable("away")
        told = await asyncio.gather(shop.price(), shop.price(), return_exceptions=True)
        assert {type(each) for each in told} == {Unavailable}
        shop.database.error = None
        assert await shop.price() == 0
        await shop.copies.close()

    run(scenario())


def test_a_flight_that_takes_long_is_not_joined_for_ever() -> None:
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


def test_one_who_goes_away_takes_nothing_from_the_others_who_wait() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        flight = flights.start("a", lambda *_: None)
        gone, stays = flight.wait(), flight.wait()
        gone.cancel()
        flight.set_result(3)
        assert await stays == 3

    run(scenario())


def test_what_cannot_be_begun_is_not_waited_for() -> None:
    async def scenario() -> None:
        shop = Shop()
        await shop.copies.close()
        for _ in range(2):
            with pytest.raises(Overloaded):
                await asyncio.wait_for(shop.price(), 5)

    run(scenario())


# --- sharing


def test_what_recurs_is_shared_and_taken_from_others_if_it_has_seen_all_that_is_known() -> None:
    async def scenario() -> None:
        shared = MemorySharedCache()
        one, other = Shop(shared), Shop(shared)
        for shop in (one, other):
            await shop.price()
        assert shared.entries == {}
        for shop in (one, other):
            shop.hear(shop.database.change(TEA))
        assert await one.price() == 1
        assert list(shared.entries) == ["product:1"]
        assert await other.price() == 1
        assert len(other.database.reads) == 1
        # News that the copy in there has not seen.
        other.hear(other.database.change(TEA))
        assert await other.price() == 2
        assert len(other.database.reads) == 2
        await one.copies.close()
        await other.copies.close()

    run(scenario())


def test_what_nobody_is_told_of_shows_in_time_also_by_way_of_others() -> None:
    async def scenario() -> None:
        shared = MemorySharedCache()
        one, other = Shop(shared), Shop(shared)
        for shop in (one, other):
            await shop.price()
            shop.copies.clear()
        await one.price()
        # As late as Redis has it.
        other.time.now += 5 * SHARED_TTL_FRACTION
        assert await other.price() == 0
        assert len(other.database.reads) == 1
        shared.entries.clear()
        other.database.version += 1
        other.time.now += 5 - 5 * SHARED_TTL_FRACTION + STALE_WHILE_REVALIDATE_SECONDS
        assert await other.price() == 1
        await one.copies.close()
        await other.copies.close()

    run(scenario())


@pytest.mark.parametrize("content", [None, b"", b"nonsense", encode_entry(10**9, 7, "", b"x")[:-1]])
def test_what_is_no_copy_is_taken_for_nothing(content: bytes | None) -> None:
    assert decode_entry(content) is None


class TestMemorySharedCache(SharedCacheContract):
    @pytest.fixture
    def caches(self) -> SharedCaches:
        return cache(MemorySharedCache)


# --- lists


def listing(address: str) -> Call[None, None]:
    path, _, query = address.partition("?")
    scope = {"type": "http", "path": path, "query_string": query.encode(), "headers": [], "server": ("shop", 80)}
    return Call(Request(scope), None, None, None)


async def in_thread(work: Callable[..., Any], *given: Any) -> Any:
    return work(*given)


def test_addresses_may_be_as_long_as_they_like_and_take_no_room() -> None:
    async def scenario() -> None:
        validity = CacheValidity(Time())
        validity.on_start(1)
        validity.on_heartbeat(10**9)
        copies = ListCache(lambda: 10, validity, in_thread, limit=10**6, ttl_seconds=5, shared=MemorySharedCache())
        made: list[bytes] = []

        async def make(call: Call[None, None]) -> Response:
            made.append(call.request.scope["query_string"])
            return Response(b"{}")

        kept = copies.cached(make)
        await kept(listing("/list/?first"))
        tracemalloc.start()
        try:
            for number in range(20):
                await kept(listing(f"/list/?{number}{'x' * 60_000}"))
                made.clear()
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 10 * 60_000
        await kept(listing(f"/list/?7{'x' * 60_000}"))
        assert made == []
        await kept(listing(f"/list/?7{'x' * 59_999}y"))
        assert len(made) == 1

    run(scenario())


def test_lists_that_are_made_within_a_moment_share_what_vouches_for_them() -> None:
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

        copies = ListCache(horizon, validity, in_a_moment, limit=10**6, ttl_seconds=5, clock=time)
        kept = copies.cached(make)
        failures.append(Unavailable("The database is away."))
        with pytest.raises(Unavailable):
            await kept(listing("/list/"))
        reads = 0
        await asyncio.gather(*(kept(listing(f"/list/?{number}")) for number in range(5)))
        assert reads == 1
        # What changed here is newer than that.
        copies.on_local_change()
        await kept(listing("/list/?5"))
        assert reads == 2
        time.now += 2 * SNAPSHOT_REUSE_SECONDS
        await kept(listing("/list/?6"))
        assert reads == 3

    run(scenario())


# --- the loop


def test_news_is_there_before_whoever_was_told_of_the_change_goes_on() -> None:
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


def test_news_for_a_loop_that_is_closed_is_nobodys() -> None:
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


def test_strangers_share_a_copy_and_a_change_is_shown_at_once(
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


def test_a_seller_and_staff_see_what_strangers_do_not_and_nobody_is_given_theirs(
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


def test_a_tag_is_not_good_for_what_others_see(seller: Person, buyer: Person, anybody: Visitor, staff: Person) -> None:
    page = path_of(seller.list(cost="4.00"))
    public, own = anybody.get(page).headers["etag"], seller.get(page).headers["etag"]
    for who, tag, other in ((anybody, public, own), (buyer, public, own), (seller, own, public), (staff, own, public)):
        assert who.get(page, headers={"If-None-Match": tag}).status_code == 304
        assert who.get(page, headers={"If-None-Match": other}).status_code == 200
    # Both are of one edition, so either is a condition of an edit.
    edited = seller.patch(page, {"cost": "5.00"}, headers={"If-Match": public})
    assert edited.headers["etag"] == seller.get(page).headers["etag"] != own
    problem(seller.patch(page, {"cost": "6.00"}, headers={"If-Match": own}), 412)


def test_who_keeps_a_product_is_told_of_its_sellers_new_name(seller: Person, anybody: Visitor) -> None:
    page = path_of(seller.list())
    tag = anybody.get(page).headers["etag"]
    answer(seller.patch("/users/api/v1/me/", {"first_name": "Grace"}))
    assert answer(anybody.get(page, headers={"If-None-Match": tag}))["seller"]["first_name"] == "Grace"


def test_an_inactive_product_is_kept_from_strangers_alone(
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


def test_what_was_not_there_is_there_once_it_is_listed(
    place: Marketplace, seller: Person, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = seller.list()["id"] + 1
    reads = reads_of(place, monkeypatch)
    for _ in range(3):
        problem(anybody.get(f"{PRODUCTS}{following}/"), 404)
    assert reads == [[following]]
    assert seller.list()["id"] == following
    answer(anybody.get(f"{PRODUCTS}{following}/"))


def test_stock_and_names_are_shown_as_they_change(
    place: Marketplace, seller: Person, buyer: Person, anybody: Visitor
) -> None:
    product = seller.list(stock=5)
    assert answer(anybody.get(path_of(product)))["stock"] == 5
    place.reserve(buyer, (product["id"], 2))
    assert answer(anybody.get(path_of(product)))["stock"] == 3
    answer(seller.patch("/users/api/v1/me/", {"first_name": "Grace"}))
    assert answer(anybody.get(path_of(product)))["seller"]["first_name"] == "Grace"
    assert answer(anybody.get(f"{PRODUCTS}?seller={seller.id}"))["results"][0]["seller"]["first_name"] == "Grace"


def test_lists_and_categories_are_kept_and_say_whether_they_changed(
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


def test_what_has_a_tag_says_so_in_its_description(place: Marketplace, seller: Person) -> None:
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


# What the short way leaves to the long one, and what it does not.
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
def test_the_short_way_answers_as_the_long_one_does(
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
    """All but the names of requests, unless they were given."""
    kept = [(name, value) for name, value in response.headers.multi_items() if name != "x-request-id"]
    if (given := response.headers["x-request-id"]) == "a-request-of-mine":
        kept.append(("x-request-id", given))
    return response.status_code, sorted(kept), response.content


def test_views_are_counted_on_the_short_way_too(
    place: Marketplace, seller: Person, buyer: Person, anybody: Visitor
) -> None:
    product = ProductId(seller.list()["id"])
    for who in (anybody, buyer):
        first = who.get(f"{PRODUCTS}{product}/")
        who.get(f"{PRODUCTS}{product}/", headers={"If-None-Match": first.headers["etag"]})
    place.flush_views()
    assert place.market.queries.products([product])[product].count_viewed == 4


def test_the_database_away_is_a_503_on_the_short_way(
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
