"""Simulates many processes over one database: no reader gets data that changed more than a second before.

The cache and its validity rules are the real ones. The database is a model of PostgreSQL: transactions get ids when
they first write and commit in any order, a snapshot includes the oldest running transaction, and every listener gets
notifications in the order of the commits. A seed determines the time and the order of the steps.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import pytest
from attrs import Factory, define, field

from adapters.http.cache.invalidation import HEARTBEAT_TIMEOUT, LIST_STALENESS, CacheValidity
from adapters.http.cache.product_cache import ProductCache, ProductCacheEntry
from adapters.http.execution.batcher import Waiter
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.queries import CategoryRef, ProductQueries, ProductView, SellerRef
from tests.simulation.http_cache.simulated_processes import CachingProcess, InterleavedSteps

PRODUCTS = [ProductId(number) for number in (1, 2, 3)]


@define
class Database:
    """`versions` counts committed changes per product; `log` is the change log."""

    now: float = 100.0
    next_number: int = 10
    running: dict[int, ProductId] = Factory(dict)
    versions: dict[ProductId, int] = Factory(lambda: dict.fromkeys(PRODUCTS, 0))
    committed: list[tuple[float, ProductId, int]] = Factory(list)
    log: list[CatalogChange] = Factory(list)
    shared: dict[str, bytes] = Factory(dict)
    wal: list[tuple[str, int, ProductId]] = Factory(list)
    """Begins and commits of transactions, in order."""

    def begin(self, product: ProductId) -> int:
        # A transaction locks its product, so each product has at most one.
        number = self.next_number
        self.next_number += 1
        self.running[number] = product
        self.wal.append(("begin", number, product))
        return number

    def commit(self, number: int) -> CatalogChange:
        product = self.running.pop(number)
        self.versions[product] += 1
        self.wal.append(("commit", number, product))
        self.committed.append((self.now, product, self.versions[product]))
        change = CatalogChange(number, frozenset({product}))
        self.log.append(change)
        return change

    def must_show(self, product: ProductId) -> int:
        """Return the version of a second ago, the oldest one allowed."""
        old = [version for at, of, version in self.committed if of == product and at <= self.now - 1.0]
        return max(old, default=0)


class Reads:
    """The queries and the shared cache of one process; `meanwhile` runs before and after each reply."""

    def __init__(self, database: Database, meanwhile: Callable[[], None]) -> None:
        self._database = database
        self._meanwhile = meanwhile

    def snapshot(self, ids: Sequence[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        self._meanwhile()
        horizon = min(self._database.running, default=self._database.next_number)
        found = {product: _view(product, self._database.versions[product]) for product in ids}
        self._meanwhile()
        return horizon, found

    # Redis

    def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        self._meanwhile()
        found = [self._database.shared.get(key) for key in keys]
        self._meanwhile()
        return found

    def put(self, copies: Mapping[str, bytes]) -> None:
        self._meanwhile()
        self._database.shared.update(copies)
        self._meanwhile()


def _view(product: ProductId, version: int) -> ProductView:
    return ProductView(
        product, "Tea pot", "", Money(100 + version, "USD"), "", CategoryRef(CategoryId(1), "kitchen"),
        SellerRef(AccountId(7), "", "", "", "Seller 7"), 1, True, datetime(2026, 1, 1, tzinfo=UTC), 0, None, None,
        None, None, None, 1,
    )  # fmt: skip


@define
class ByHand:
    """A load queue that a step of the simulation empties."""

    load: Callable[[Sequence[ProductId]], Sequence[ProductCacheEntry | Exception]]
    waiting: list[tuple[ProductId, Waiter[ProductCacheEntry]]] = Factory(list)

    def enqueue(self, command: ProductId, answer: Waiter[ProductCacheEntry]) -> None:
        self.waiting.append((command, answer))

    async def drain(self) -> None:
        pass


@define
class Process(CachingProcess[Database]):
    made: dict[ProductId, int] = Factory(dict)
    """The versions that this process has committed."""
    copies: ProductCache = field(init=False)
    batch: ByHand = field(init=False)
    queries: ProductQueries = field(init=False)

    def create_queries(self, reads: Reads) -> ProductQueries:
        """The queries that the cache loads from."""
        return cast(ProductQueries, reads)

    def create_cache(self) -> None:
        def batched(load: Callable[[Sequence[ProductId]], Sequence[ProductCacheEntry | Exception]]) -> ByHand:
            self.batch = ByHand(load)
            return self.batch

        reads = Reads(self.database, self.meanwhile)
        self.queries = self.create_queries(reads)
        self.copies = ProductCache(
            self.queries,
            self.validity,
            limit=10**6,
            ttl_seconds=5,
            shared=reads,
            clock=self.clock,
            create_queue=batched,
        )

    def clear_cache(self) -> None:
        self.copies.clear()

    def drop_changed(self, change: CatalogChange, *, is_local: bool) -> None:
        self.copies.on_change(change)
        if is_local:
            (product,) = change.products
            self.made[product] = self.database.versions[product]


class Simulation(InterleavedSteps[Database]):
    process: type[Process] = Process
    steps: Sequence[str] = (*InterleavedSteps.steps, "ask", "ask", "ask", "load", "load")

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Database(), self.process)
        self.reads: list[tuple[asyncio.Task[ProductCacheEntry], int]] = []
        self.read = 0
        self.from_copies = 0

    def begin(self) -> None:
        free = [product for product in PRODUCTS if product not in self.database.running.values()]
        if free and len(self.database.running) < 2:
            self.database.begin(self.chance.choice(free))

    def ask(self) -> None:
        process, product = self.chance.choice(self.processes), self.chance.choice(PRODUCTS)
        wanted = max(self.database.must_show(product), process.made.get(product, 0))
        self.from_copies += process.copies.get_valid(product) is not None
        self.reads.append((asyncio.ensure_future(process.copies.get(product)), wanted))

    def load(self) -> None:
        self.load_of(self.chance.choice(self.processes))

    def load_of(self, process: Process) -> None:
        if waiting := process.batch.waiting:
            process.batch.waiting = []
            answers = process.batch.load([product for product, _ in waiting])
            for (_, future), copy in zip(waiting, answers, strict=True):
                assert isinstance(copy, ProductCacheEntry)
                future.set_result(copy)
            self.meanwhile()

    async def run(self) -> None:
        await super().run()
        for _ in range(20):
            for process in self.processes:
                self.load_of(process)
            await asyncio.sleep(0)
            self.check()
        assert not self.reads

    def check(self) -> None:
        for read in [each for each in self.reads if each[0].done()]:
            self.reads.remove(read)
            body = read[0].result().body
            assert body is not None
            shown = int(body.partition(b'"price":"1.')[2][:2])
            assert shown >= read[1]
            self.read += 1


def test_no_response_is_older_than_a_second_or_than_a_change_of_its_process() -> None:
    read = from_copies = 0
    for seed in range(400):
        simulation = Simulation(seed)
        asyncio.run(simulation.run())
        read += simulation.read
        from_copies += simulation.from_copies
    # The test proves nothing if few responses come from the cache.
    assert from_copies > read / 10


def test_heartbeat_timeout_and_list_staleness_add_up_to_a_second() -> None:
    assert HEARTBEAT_TIMEOUT + LIST_STALENESS <= 1.0


@pytest.mark.parametrize("broken", ["is_product_valid", "changed", "complete"])
def test_the_simulation_fails_without_each_part_of_the_rules(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one part, some seed yields an outdated price."""

    def trusting(validity: CacheValidity, moment: float) -> None:
        validity.heartbeat_deadline = moment + 1000

    if broken == "is_product_valid":
        monkeypatch.setattr(CacheValidity, "is_product_valid", lambda *_: True)
    elif broken == "changed":
        monkeypatch.setattr(ProductCache, "on_change", lambda *_: None)
    else:
        monkeypatch.setattr(CacheValidity, "on_heartbeat", trusting)
    with pytest.raises(AssertionError):
        test_no_response_is_older_than_a_second_or_than_a_change_of_its_process()
