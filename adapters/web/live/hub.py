"""Reports changes to the open streams of this process. The number of reads does not grow with that of the streams."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from attrs import frozen
from starlette.concurrency import run_in_threadpool

from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import OrderId, ProductId, RunId, SessionId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.ports import AccessChange, CatalogChange, CatalogFeed, ChangeListener
from scalecommerce_core.pricing.runs import UNFINISHED, RunStatus
from scalecommerce_core.queries import Queries

BATCH: Final = 500
"""Products or orders that one statement reads."""
COLLECT_SECONDS: Final = 0.1
"""Time in which changes are collected before a read: a run of prices commits many ranges in a row."""
READ_INTERVAL_SECONDS: Final = 0.5
"""Minimum time from the end of a read to the next one. Under load, orders change stock all the time; few reads of
many products cost less than many reads of few.
"""
RUN_SECONDS: Final = 1.0
"""Pause between two reads of the watched pricing runs: no event reports that a run has ended."""
RETRY_SECONDS: Final = 2.0
"""Pause after a failed read."""

logger = logging.getLogger(__name__)


@frozen
class LiveProduct:
    """What streams report of a product: the price in minor units, None of a product that buyers do not see, and whether
    it can be bought.
    """

    id: ProductId
    price: int | None
    currency: str
    is_available: bool


@frozen
class LiveOrder:
    id: OrderId
    status: OrderStatus


@frozen
class LiveRun:
    id: RunId
    status: RunStatus


Item = LiveProduct | LiveOrder | LiveRun


class Subscription:
    """What one stream watches, and what it has to send. Belongs to the event loop.

    Only the newest state of each product and order waits, so a slow reader costs no memory.
    """

    def __init__(
        self,
        products: Collection[ProductId],
        orders: Collection[OrderId],
        runs: Collection[RunId] = (),
        *,
        figures: bool = False,
        session: SessionId | None = None,
    ) -> None:
        """`figures`: report that events were added, after which figures may have changed. `session`: the reader's."""
        self.session = session
        self.products = frozenset(products)
        self.orders = frozenset(orders)
        self.runs = frozenset(runs)
        self.figures = figures
        self.pending: dict[tuple[type[Item], int], Item] = {}
        self.has_new_figures = False
        self.is_closed = False
        self.changed = asyncio.Event()

    def put(self, item: Item) -> None:
        self.pending[type(item), item.id] = item
        self.changed.set()

    def take(self) -> Sequence[Item]:
        """The items to send, which are then forgotten."""
        items = list(self.pending.values())
        self.pending.clear()
        self.changed.clear()
        return items

    def close(self) -> None:
        """End the stream; its browser connects again."""
        self.is_closed = True
        self.changed.set()


class LiveHub:
    """`ports.ChangeListener` that reads the changed products and orders which a stream watches.

    Calls of the feed arrive in other threads; the state belongs to the event loop.
    """

    def __init__(self, queries: Queries, keep_alive: Callable[[], None] = lambda: None) -> None:
        """`keep_alive` is that of the feed, which is called while streams are open."""
        self._queries = queries
        self._keep_alive = keep_alive
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscriptions: set[Subscription] = set()
        self._products: dict[ProductId, set[Subscription]] = {}
        self._orders: dict[OrderId, set[Subscription]] = {}
        self._runs: dict[RunId, set[Subscription]] = {}
        """The streams of runs that have not ended."""
        self._following_runs: asyncio.Task[None] | None = None
        self._reported: dict[ProductId, Item] = {}
        """The item that was put to all streams of a product last. Most orders change neither price nor availability,
        and need not wake the streams.
        """
        self._changed_products: set[ProductId] = set()
        self._has_new_events = False
        self._reading: asyncio.Task[None] | None = None
        self._next_read_at = 0.0
        """Time of the event loop."""
        self._is_closed = False

    def __len__(self) -> int:
        """The number of open streams."""
        return len(self._subscriptions)

    def start(self) -> None:
        """Call this in the event loop, before the feed."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """End all streams, and refuse new ones; may be called in any thread."""
        self._is_closed = True
        self._call(self._close_all)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def is_idle(self) -> bool:
        """Whether all changes that the feed reported so far have been put to the streams."""
        return self._reading is None

    def open(self, subscription: Subscription) -> None:
        self._subscriptions.add(subscription)
        self._keep_alive()
        for product in subscription.products:
            self._products.setdefault(product, set()).add(subscription)
            # The stream will read a state of its own, older or newer than that of the others.
            self._reported.pop(product, None)
        for order in subscription.orders:
            self._orders.setdefault(order, set()).add(subscription)
        for run in subscription.runs:
            self._runs.setdefault(run, set()).add(subscription)
        if self._runs and self._following_runs is None:
            self._following_runs = asyncio.get_running_loop().create_task(self._follow_runs())

    def discard(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        _remove(self._products, subscription.products, subscription)
        for product in subscription.products - self._products.keys():
            self._reported.pop(product, None)
        _remove(self._orders, subscription.orders, subscription)
        _remove(self._runs, subscription.runs, subscription)
        if not self._runs and self._following_runs is not None:
            self._following_runs.cancel()
            self._following_runs = None

    async def read(
        self, products: Iterable[ProductId], orders: Iterable[OrderId], runs: Iterable[RunId] = ()
    ) -> Sequence[Item]:
        """The present state of products, orders and pricing runs; raise `MarketError`."""
        items: list[Item] = []
        for ids in _batches(products):
            found = await run_in_threadpool(self._queries.products, ids)
            items += [
                LiveProduct(
                    each.id,
                    each.price.minor if each.is_active else None,
                    each.price.currency,
                    each.is_active and each.stock > 0,
                )
                for each in found.values()
            ]
        for numbers in _batches(orders):
            read = await run_in_threadpool(self._queries.orders, numbers)
            items += [LiveOrder(order.id, order.status) for order in read.values()]
        for number in runs:
            run = await run_in_threadpool(self._queries.repricing_run, number)
            if run is not None:
                items.append(LiveRun(run.id, run.status))
        return items

    def on_start(self, number: int) -> None:  # noqa: ARG002 - the port's signature
        # Changes may have been missed.
        self._call(lambda: self._collect(set(self._products), events=True))

    def on_change(self, change: CatalogChange) -> None:
        self._call(lambda: self._collect(set(self._products) if change.everything else change.products, events=False))

    def on_local_change(self, change: CatalogChange) -> None:
        """Ignored: the feed reports the same change with `on_change`."""

    def on_events(self) -> None:
        self._call(lambda: self._collect((), events=True))

    def on_access_change(self, change: AccessChange) -> None:
        """End the streams of revoked sessions."""
        self._call(lambda: self._close_sessions(change.sessions))

    def on_heartbeat(self, moment: float) -> None:  # noqa: ARG002 - the port's signature
        """Keep the feed in use while streams are open: an idle feed reports changes later."""
        if self._subscriptions:
            self._keep_alive()

    def _collect(self, products: Collection[ProductId], *, events: bool) -> None:
        if not self._subscriptions:
            return
        self._changed_products |= self._products.keys() & set(products)
        self._has_new_events = self._has_new_events or events
        if (self._changed_products or self._has_new_events) and self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read_changes())

    async def _read_changes(self) -> None:
        """Read and report until nothing has changed meanwhile."""
        problem = ""
        now = asyncio.get_running_loop().time
        try:
            while self._changed_products or self._has_new_events:
                await asyncio.sleep(max(COLLECT_SECONDS, self._next_read_at - now()))
                products, self._changed_products = self._changed_products, set()
                events, self._has_new_events = self._has_new_events, False
                try:
                    await self._report(products, events=events)
                    problem = ""
                except MarketError as error:
                    if str(error) != problem:
                        problem = str(error)
                        logger.warning("live figures are late: %s", error)
                    self._changed_products |= products
                    self._has_new_events = self._has_new_events or events
                    await asyncio.sleep(RETRY_SECONDS)
                self._next_read_at = now() + READ_INTERVAL_SECONDS
        finally:
            self._reading = None

    async def _report(self, products: Collection[ProductId], *, events: bool) -> None:
        for ids in _batches(products):
            for item in await self.read(ids, ()):
                product = ProductId(item.id)
                if self._reported.get(product) == item or product not in self._products:
                    continue
                self._reported[product] = item
                for subscription in self._products[product]:
                    subscription.put(item)
        if not events:
            return
        for numbers in _batches(self._orders):
            for item in await self.read((), numbers):
                for subscription in self._orders.get(OrderId(item.id), ()):
                    subscription.put(item)
        for subscription in self._subscriptions:
            if subscription.figures:
                subscription.has_new_figures = True
                subscription.changed.set()

    async def _follow_runs(self) -> None:
        """Report the states of watched runs until this task is cancelled. A run that has ended is not read again."""
        reported: dict[int, Item] = {}
        problem = ""
        while True:
            await asyncio.sleep(RUN_SECONDS)
            try:
                items = await self.read((), (), list(self._runs))
                problem = ""
            except MarketError as error:
                if str(error) != problem:
                    problem = str(error)
                    logger.warning("states of pricing runs are late: %s", error)
                continue
            for item in items:
                watchers = self._runs.get(RunId(item.id), set())
                if reported.get(item.id) != item:
                    reported[item.id] = item
                    for subscription in watchers:
                        subscription.put(item)
                if isinstance(item, LiveRun) and item.status not in UNFINISHED:
                    self._runs.pop(item.id, None)

    def _close_sessions(self, revoked: Collection[SessionId]) -> None:
        for subscription in self._subscriptions:
            if subscription.session in revoked:
                subscription.close()

    def _close_all(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()

    def _call(self, callback: Callable[[], None]) -> None:
        # Before `start` and after the end of the loop there are no streams.
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback)


class SharedFeed:
    """`ports.CatalogFeed` that reports to further listeners besides the one that follows it."""

    def __init__(self, feed: CatalogFeed, others: Sequence[ChangeListener]) -> None:
        self._feed = feed
        self._others = others

    def follow(self, listener: ChangeListener) -> None:
        self._feed.follow(_Listeners([listener, *self._others]))

    def keep_alive(self) -> None:
        self._feed.keep_alive()

    def close(self) -> None:
        self._feed.close()


class _Listeners:
    """Calls several listeners in order."""

    def __init__(self, listeners: Sequence[ChangeListener]) -> None:
        self._listeners = listeners

    def on_start(self, number: int) -> None:
        for listener in self._listeners:
            listener.on_start(number)

    def on_change(self, change: CatalogChange) -> None:
        for listener in self._listeners:
            listener.on_change(change)

    def on_local_change(self, change: CatalogChange) -> None:
        for listener in self._listeners:
            listener.on_local_change(change)

    def on_events(self) -> None:
        for listener in self._listeners:
            listener.on_events()

    def on_access_change(self, change: AccessChange) -> None:
        for listener in self._listeners:
            listener.on_access_change(change)

    def on_heartbeat(self, moment: float) -> None:
        for listener in self._listeners:
            listener.on_heartbeat(moment)


Id = TypeVar("Id", bound=int)


def _batches(ids: Iterable[Id]) -> Iterator[Sequence[Id]]:
    listed = list(ids)
    for begin in range(0, len(listed), BATCH):
        yield listed[begin : begin + BATCH]


def _remove(index: dict[Id, set[Subscription]], ids: Iterable[Id], subscription: Subscription) -> None:
    for each in ids:
        watchers = index.get(each)
        if watchers is None:
            continue
        watchers.discard(subscription)
        if not watchers:
            del index[each]
