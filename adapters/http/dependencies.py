"""The objects that handlers use: the market, batchers for frequent commands, thread pools and the cache."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, ParamSpec, TypeVar

from attrs import frozen

from adapters.http.authentication import AccessListener, Authenticator
from adapters.http.cache.catalog_cache import DEFAULT_LIMITS, CacheLimits, CatalogCache
from adapters.http.cache.product_cache import ProductCacheEntry
from adapters.http.cache.shared_cache import SharedCache
from adapters.http.execution.batcher import Batcher
from adapters.http.execution.hashing_pool import HashingPool, Priority
from adapters.http.execution.payment_runner import PaymentRunner
from adapters.http.execution.progress import CheckInTime, CommandProgress
from adapters.http.execution.reader_threads import MAX_WAITING_READS_PER_CLIENT, ReaderThreads
from adapters.http.execution.time_limit import DEFAULT_COMMAND_SECONDS, TimeLimit, run_in_time
from adapters.http.framework.cursors import Cursors
from adapters.http.framework.pagination import Paginator
from adapters.http.framework.request_client import current_client
from adapters.http.view_tracking import ViewTracker
from scalecommerce_core.domain.errors import MarketError, NotFound
from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.product import Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.ports import (
    CatalogFeed,
    Ids,
    RateLimiter,
    SecurityLog,
    Tracing,
    ViewCounter,
    WorkNotifier,
)
from scalecommerce_core.queries import OrderView, ProductQueries, ProductView
from scalecommerce_core.services.catalog import (
    AdjustStock,
    CreateProduct,
    EditProduct,
    ProductWithStock,
    WithdrawProduct,
)
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import CancelOrder, Ordering, PlaceOrder, RefundOrder
from scalecommerce_core.services.results import Replayed

P = ParamSpec("P")
T = TypeVar("T")
Id = TypeVar("Id", bound=int)

READINESS_SECONDS: Final = 5.0
"""Time for the readiness check of a load balancer, which usually waits for 5 to 10 s."""


@frozen
class Readiness:
    """The state of the services that the process depends on.

    `oldest_undecided_seconds` is the age of the oldest order without a decision; None without such an order.
    `accepts_orders` is false while new orders are refused because too many are undecided.
    """

    redis: Literal["ok", "away", "wrong_password"]
    oldest_undecided_seconds: float | None
    accepts_orders: bool = True


class Dependencies:
    """The dependencies of all handlers; one instance per process."""

    def __init__(
        self,
        market: Market,
        *,
        notifier: WorkNotifier,
        views: ViewCounter,
        ids: Ids,
        cursor_key: bytes,
        ready: Callable[[], Readiness],
        security_log: SecurityLog,
        rate_limiter: RateLimiter,
        intake_queue: int = 2000,
        reads_per_client: int = MAX_WAITING_READS_PER_CLIENT,
        bots: Sequence[str] = (),
        catalog_queries: ProductQueries | None = None,
        feed: CatalogFeed | None = None,
        shared: SharedCache | None = None,
        cache_limits: CacheLimits = DEFAULT_LIMITS,
        seller_email_public: bool = False,
        command_seconds: float = DEFAULT_COMMAND_SECONDS,
        tracing: Tracing | None = None,
    ) -> None:
        """`ready` reads the readiness; it raises `Unavailable` if the database is unreachable or has another schema.

        `catalog_queries` answers reads of the public catalog, by default the market's queries. Its results may lack
        what other processes have changed within the last 0.3 s.

        The commands of a request must be complete within `command_seconds`.

        Without `feed`, which reports changes of the catalog and of access, nothing is cached and each session is
        checked in the database. A cache of 0 MB is off.
        """
        self.market = market
        self._tracing = tracing
        self.notifier = notifier
        self.view_tracker = ViewTracker(views, bots)
        self.ids = ids
        self.security_log = security_log
        self.rate_limiter = rate_limiter
        self.paginator = Paginator(Cursors(cursor_key))
        queries, catalog, ordering = market.queries, market.catalog, market.ordering
        self._write_limit = writes = TimeLimit(command_seconds)
        # A request with `Prefer: wait` reads the order until long after the deadline of its command.
        reads = TimeLimit(command_seconds, per_request=False)
        self.place_order: Batcher[PlaceOrder, Order | Replayed] = Batcher(
            ordering.place if tracing is None else partial(_place_traced, ordering, tracing),
            queue_size=intake_queue,
            name="place",
            time_limit=writes,
            tracing=tracing,
        )
        self.payment_runner = PaymentRunner(market.payments, time_limit=writes, tracing=tracing)
        self.cancel_order: Batcher[CancelOrder, Order] = Batcher(
            ordering.cancel, name="cancel", time_limit=writes, tracing=tracing
        )
        self.refund_order: Batcher[RefundOrder, Order | Replayed] = Batcher(
            ordering.refund, name="refund", time_limit=writes, tracing=tracing
        )
        self.list_product: Batcher[CreateProduct, ProductWithStock | Replayed] = Batcher(
            catalog.create_products, name="list", time_limit=writes, tracing=tracing
        )
        self.edit_product: Batcher[EditProduct, ProductWithStock] = Batcher(
            catalog.edit_products, name="edit", time_limit=writes, tracing=tracing
        )
        self.withdraw_product: Batcher[WithdrawProduct, Product] = Batcher(
            catalog.withdraw_products, name="withdraw", time_limit=writes, tracing=tracing
        )
        self.adjust_stock: Batcher[AdjustStock, Stock | Replayed] = Batcher(
            catalog.adjust_stock, name="stock", time_limit=writes, tracing=tracing
        )
        self.load_product: Batcher[ProductId, ProductView] = Batcher(
            _batch_query(queries.products, "product"), name="product", time_limit=reads, tracing=tracing
        )
        self.load_order: Batcher[OrderId, OrderView] = Batcher(
            _batch_query(queries.orders, "order"), name="order", time_limit=reads, tracing=tracing
        )
        self.catalog_queries: ProductQueries = catalog_queries or queries
        self._readers = ReaderThreads(max_per_client=reads_per_client)
        self._hashers = HashingPool()
        self.seller_email_public = seller_email_public
        self.cache = CatalogCache(
            self.catalog_queries,
            self.run_in_thread,
            self._readers.promote,
            limits=cache_limits,
            shared=shared,
            seller_email=seller_email_public,
            create_page_queue=self._create_page_queue,
        )
        self.authenticator = Authenticator(market.sessions, market.api_keys, time_limit=reads)
        self.progress = CommandProgress(
            (*self._batchers, self._page_queue, *self.payment_runner.batchers, *self.authenticator.batchers),
            (self._readers.calls, self._hashers.calls),
        )
        self.readiness = CheckInTime(ready, READINESS_SECONDS, "readiness")
        self._feed = feed
        self._is_cache_on = cache_limits.megabytes > 0

    def start(self) -> None:
        """Start the background tasks; call this in the event loop of the server."""
        if self._feed is None:
            return
        loop, revoked = asyncio.get_running_loop(), self.authenticator.revoked
        revoked.keep_alive = self._feed.keep_alive
        cache = self.cache.listen(loop, self._feed.keep_alive) if self._is_cache_on else None
        self._feed.follow(AccessListener(loop, self.market.sessions, self.authenticator, cache))

    async def run_in_thread(self, query: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a query or an infrequent use case in a reader thread.

        Raise `Overloaded` if too many calls wait, and `DeadlineExceeded` in a request that may write at its deadline.
        """
        call = self._bind(lambda: query(*args, **kwargs))
        if current_client().is_write:
            # It has a deadline, so its age is of interest from the beginning.
            return await run_in_time(self._write_limit, partial(self._readers.run, seconds=0.0), call)
        return await self._readers.run(call)

    async def run_long(self, use_case: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a use case of many transactions, each of which is complete in itself, without a deadline."""
        return await self._readers.run_transactions(self._bind(lambda: use_case(*args, **kwargs)))

    async def run_in_hasher(
        self, client: str, priority: Priority, use_case: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a use case that hashes passwords in a hasher thread; `client` is the network address that requests it.

        Raise `Overloaded` if the queue is full, `TooManyAttempts` if too many calls of the client are waiting, and
        `DeadlineExceeded` at the deadline of the request.
        """
        run = partial(self._hashers.run, client=client, priority=priority)
        return await run_in_time(self._write_limit, run, self._bind(lambda: use_case(*args, **kwargs)))

    def _bind(self, call: Callable[[], T]) -> Callable[[], T]:
        """The call for another thread, in the trace of its request."""
        return call if self._tracing is None else self._tracing.bind(call)

    @property
    def _batchers(self) -> Sequence[Batcher[Any, Any]]:
        """The batchers of this object itself."""
        return (
            self.place_order, self.cancel_order, self.refund_order, self.list_product, self.edit_product,
            self.withdraw_product, self.adjust_stock, self.load_product, self.load_order,
        )  # fmt: skip

    def _create_page_queue(
        self, load: Callable[[Sequence[ProductId]], Sequence[ProductCacheEntry | Exception]]
    ) -> Batcher[ProductId, ProductCacheEntry]:
        limit = TimeLimit(self._write_limit.seconds, per_request=False)
        self._page_queue = Batcher(load, name="page", time_limit=limit)
        return self._page_queue

    async def close(self) -> None:
        """Complete all pending commands, then stop the threads."""
        await self.payment_runner.close()
        await self.cache.close()
        await self.authenticator.close()
        await asyncio.gather(*(batcher.drain() for batcher in self._batchers))
        self.readiness.close()
        self._readers.close()
        self._hashers.close()


def _place_traced(
    ordering: Ordering, tracing: Tracing, commands: Sequence[PlaceOrder]
) -> list[Order | Replayed | MarketError]:
    """`Ordering.place` may decide orders."""
    with tracing.decision():
        return ordering.place(commands)


def _batch_query(
    query: Callable[[Sequence[Id]], Mapping[Id, T]], kind: str
) -> Callable[[Sequence[Id]], list[T | MarketError]]:
    """Adapt a query by ids to a `Batcher`, so that concurrent reads of single rows share one statement."""

    def batch(ids: Sequence[Id]) -> list[T | MarketError]:
        found = query(ids)
        return [found[each] if each in found else NotFound(kind, each) for each in ids]

    return batch
