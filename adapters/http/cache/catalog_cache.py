"""The caches of one API process and the change feed that invalidates them."""

import asyncio
from collections.abc import Callable
from typing import Final

from attrs import frozen

from adapters.http.cache.invalidation import CacheValidity, EventLoopListener
from adapters.http.cache.list_cache import ListCache, Promote, RunInThread
from adapters.http.cache.product_cache import LoadQueueFactory, ProductCache
from adapters.http.cache.shared_cache import SharedCache
from adapters.http.execution.batcher import Batcher
from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.queries import ProductQueries

LIST_CACHE_DIVISOR: Final = 4
"""Lists get this fraction (1/4) of the memory limit, products the rest."""


@frozen
class CacheLimits:
    """`megabytes` is per process; `ttl_seconds` bounds the age of data that changes without a notification (views)."""

    megabytes: int = 64
    ttl_seconds: float = 5.0


DEFAULT_LIMITS: Final = CacheLimits()


class CatalogCache:
    """The product and list caches. Nothing is served from them before `listen` is called."""

    def __init__(
        self,
        queries: ProductQueries,
        run_in_thread: RunInThread,
        promote: Promote,
        *,
        limits: CacheLimits,
        shared: SharedCache | None = None,
        seller_email: bool = False,
        create_page_queue: LoadQueueFactory = Batcher,
    ) -> None:
        """`seller_email`: whether products show the e-mail address of their seller to everybody.

        `create_page_queue` creates the batcher that loads products.
        """
        self.validity = CacheValidity()
        self.local_changes = 0
        """Changes of the catalog by this process since it started."""
        self.feed_changes = 0
        """Changes that the feed reported, which include those of this process."""
        limit = limits.megabytes * 1024 * 1024
        self.lists = ListCache(
            queries.visibility_horizon,
            self.validity,
            run_in_thread,
            promote,
            limit=limit // LIST_CACHE_DIVISOR,
            ttl_seconds=limits.ttl_seconds,
            shared=shared,
        )
        self.products = ProductCache(
            queries,
            self.validity,
            limit=limit - limit // LIST_CACHE_DIVISOR,
            ttl_seconds=limits.ttl_seconds,
            shared=shared,
            seller_email=seller_email,
            create_queue=create_page_queue,
        )

    def listen(self, loop: asyncio.AbstractEventLoop, keep_alive: Callable[[], None]) -> EventLoopListener:
        """A listener for the change feed, whose changes are handled on `loop`; `keep_alive` requests heartbeats."""
        self.validity.keep_alive = keep_alive
        return EventLoopListener(loop, self)

    async def close(self) -> None:
        await self.products.close()

    # --- `CacheListener`, on the loop

    def on_start(self, number: int) -> None:
        self.validity.on_start(number)
        self._clear()

    def on_change(self, change: CatalogChange, *, is_local: bool) -> None:
        if is_local:
            self.local_changes += 1
        else:
            self.feed_changes += 1
        if self.validity.on_change(change, is_local=is_local):
            self._clear()
        self.products.on_change(change)
        if is_local:
            self.lists.on_local_change()

    def on_heartbeat(self, moment: float) -> None:
        self.validity.on_heartbeat(moment)

    def _clear(self) -> None:
        self.products.clear()
        self.lists.clear()
