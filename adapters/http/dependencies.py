"""What handlers work with: the engine, its batchers and threads for what cannot be batched."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, ParamSpec, TypeVar

from attrs import frozen

from adapters.http.cache.catalog_cache import DEFAULT_LIMITS, CacheLimits, CatalogCache
from adapters.http.cache.shared_cache import SharedCache
from adapters.http.execution.batcher import Batcher
from adapters.http.execution.payment_runner import PaymentRunner
from adapters.http.framework.cursors import Cursors
from adapters.http.framework.pagination import Paginator
from adapters.http.view_tracking import ViewTracker
from scalecommerce_core.domain.errors import MarketError, NotFound, Overloaded
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import CatalogFeed, Ids, ViewCounter, WorkNotifier
from scalecommerce_core.queries import OrderView, ProductView
from scalecommerce_core.services.catalog import (
    AdjustStock,
    CreateProduct,
    EditProduct,
    ProductWithStock,
    WithdrawProduct,
)
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import CancelOrder, PlaceOrder, RefundOrder
from scalecommerce_core.services.results import Replayed

P = ParamSpec("P")
T = TypeVar("T")
Id = TypeVar("Id", bound=int)

READER_THREADS = 4
"""Threads for lists and searches: as many statements of one process run at once. A search takes as much of the
interpreter as of the database, and more threads would only wait for each other there."""
MAX_PENDING_READS = 2000
"""Reads in those threads, waiting or at work; beyond it, 503: many of those who asked would be gone by then."""
HASHER_THREADS = 2
"""Threads for passwords: hashing is meant to be slow, and must not keep readers waiting."""


@frozen
class Readiness:
    """`oldest_undecided` is in seconds; None: no order waits for its verdict."""

    redis: Literal["ok", "away", "wrong_password"]
    oldest_undecided_seconds: float | None


class ReaderThreads:
    """Threads, and a bound on what waits for them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
        self._pending = 0

    async def run(self, read: Callable[[], T]) -> T:
        if self._pending >= MAX_PENDING_READS:
            raise Overloaded("The server has more requests than it can take: send this one again in a moment.")
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, read)
        finally:
            self._pending -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=False)


class Dependencies:
    """One per process. `ready` raises `Unavailable` when the database does not answer or has other tables."""

    def __init__(
        self,
        market: Market,
        *,
        wakeups: WorkNotifier,
        views: ViewCounter,
        ids: Ids,
        cursor_key: bytes,
        ready: Callable[[], Readiness],
        intake_queue: int = 2000,
        bots: Sequence[str] = (),
        feed: CatalogFeed | None = None,
        shared: SharedCache | None = None,
        cache_limits: CacheLimits = DEFAULT_LIMITS,
    ) -> None:
        """Without a `feed` that tells of changes, every read goes to the database."""
        self.market = market
        self.wakeups = wakeups
        self.view_tracker = ViewTracker(views, bots)
        self.ids = ids
        self.check_readiness = ready
        self.paginator = Paginator(Cursors(cursor_key))
        queries, catalog, ordering = market.queries, market.catalog, market.ordering
        self.place_order: Batcher[PlaceOrder, Order | Replayed] = Batcher(
            ordering.place, queue_size=intake_queue, name="place"
        )
        self.payment_runner = PaymentRunner(market.payments)
        self.cancel_order: Batcher[CancelOrder, Order] = Batcher(ordering.cancel, name="cancel")
        self.refund_order: Batcher[RefundOrder, Order | Replayed] = Batcher(ordering.refund, name="refund")
        self.list_product: Batcher[CreateProduct, ProductWithStock | Replayed] = Batcher(
            catalog.create_products, name="list"
        )
        self.edit_product: Batcher[EditProduct, ProductWithStock] = Batcher(catalog.edit_products, name="edit")
        self.withdraw_product: Batcher[WithdrawProduct, Product] = Batcher(catalog.withdraw_products, name="withdraw")
        self.adjust_stock: Batcher[AdjustStock, Stock | Replayed] = Batcher(catalog.adjust_stock, name="stock")
        self.load_product: Batcher[ProductId, ProductView] = Batcher(
            _batch_query(queries.products, "product"), name="product"
        )
        self.load_order: Batcher[OrderId, OrderView] = Batcher(_batch_query(queries.orders, "order"), name="order")
        self._readers = ReaderThreads()
        self._hashers = ThreadPoolExecutor(HASHER_THREADS, thread_name_prefix="hasher")
        self.cache = CatalogCache(queries, self.run_in_thread, limits=cache_limits, feed=feed, shared=shared)

    def start(self) -> None:
        """On the loop that serves."""
        self.cache.start()

    async def run_in_thread(self, query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a query, or a use case that is rare, in a thread; raise `Overloaded` when too many wait."""
        return await self._readers.run(lambda: query(*args, **kwargs))

    async def run_in_hasher(self, use_case: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a use case that hashes passwords in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._hashers, lambda: use_case(*args, **kwargs))

    async def close(self) -> None:
        """Answer who waits, and end the threads."""
        await self.payment_runner.close()
        await self.cache.close()
        batchers = (
            self.place_order, self.cancel_order, self.refund_order, self.list_product, self.edit_product,
            self.withdraw_product, self.adjust_stock, self.load_product, self.load_order,
        )  # fmt: skip
        await asyncio.gather(*(batcher.drain() for batcher in batchers))
        self._readers.close()
        self._hashers.shutdown(wait=False)


def _batch_query(
    query: Callable[[Sequence[Id]], Mapping[Id, T]], kind: str
) -> Callable[[Sequence[Id]], list[T | MarketError]]:
    """A query by ids as a batch: concurrent readers of single things share one statement."""

    def batch(ids: Sequence[Id]) -> list[T | MarketError]:
        found = query(ids)
        return [found[each] if each in found else NotFound(kind, each) for each in ids]

    return batch
