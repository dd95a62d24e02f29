"""The copies of one API process, and the news that it hears."""

import asyncio
from typing import Final

from attrs import frozen

from adapters.http.cache.invalidation import CacheValidity, EventLoopListener
from adapters.http.cache.list_cache import ListCache, RunInThread
from adapters.http.cache.product_cache import ProductCache
from adapters.http.cache.shared_cache import SharedCache
from scalecommerce_core.ports import CatalogChange, CatalogFeed
from scalecommerce_core.queries import Queries

LIST_CACHE_DIVISOR: Final = 4
"""One part in so many of all room is for lists."""


@frozen
class CacheLimits:
    """`megabytes` per process; `seconds` for what changes without being told of, such as views."""

    megabytes: int = 64
    ttl_seconds: float = 5.0


DEFAULT_LIMITS: Final = CacheLimits()


class CatalogCache:
    """`feed` tells of changes; without one nothing is kept."""

    def __init__(
        self,
        queries: Queries,
        in_thread: RunInThread,
        *,
        limits: CacheLimits,
        feed: CatalogFeed | None = None,
        shared: SharedCache | None = None,
    ) -> None:
        self._feed = feed
        self.validity = CacheValidity()
        room = limits.megabytes * 1024 * 1024
        self.lists = ListCache(
            queries.visibility_horizon,
            self.validity,
            in_thread,
            limit=room // LIST_CACHE_DIVISOR,
            ttl_seconds=limits.ttl_seconds,
            shared=shared,
        )
        self.products = ProductCache(
            queries,
            self.validity,
            limit=room - room // LIST_CACHE_DIVISOR,
            ttl_seconds=limits.ttl_seconds,
            shared=shared,
        )

    def start(self) -> None:
        """On the running loop."""
        if self._feed is not None:
            self.validity.keep_alive = self._feed.keep_alive
            self._feed.follow(EventLoopListener(asyncio.get_running_loop(), self))

    async def close(self) -> None:
        await self.products.close()

    # --- news, on the loop

    def on_start(self, number: int) -> None:
        self.validity.on_start(number)
        self._clear()

    def on_change(self, change: CatalogChange, *, here: bool) -> None:
        if self.validity.on_change(change, here=here):
            self._clear()
        self.products.on_change(change)
        if here:
            self.lists.on_local_change()

    def on_heartbeat(self, moment: float) -> None:
        self.validity.on_heartbeat(moment)

    def _clear(self) -> None:
        self.products.clear()
        self.lists.clear()
