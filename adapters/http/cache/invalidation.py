"""Cache invalidation: decides whether a cache entry is still valid.

Each entry carries a `snapshot_number`: the visibility horizon, read before the entry's content. The content includes
every change with a smaller number. An entry is valid if its `snapshot_number` exceeds the number of every known change
of its product and seller. This holds in whatever order change notifications and loaded entries arrive.
ADR 0025 has the proof. Lists depend on many products; `list_dependencies` decides which changes concern them.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from adapters.http.cache.list_dependencies import ListChanges, ListDependencies
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange

HEARTBEAT_TIMEOUT: Final = 0.7
"""Seconds after a heartbeat in which the cache serves entries. Without a newer heartbeat invalidations may be missing,
so the cache serves nothing."""
LIST_STALENESS: Final = 0.3
"""Seconds for which lists stay valid after a change in another process. A cached response is therefore at most
`HEARTBEAT_TIMEOUT + LIST_STALENESS`, one second, out of date."""
MAX_TRACKED: Final = 50_000
"""Products, and sellers, whose last change is tracked individually. Beyond this number the records are replaced by
their maximum, up to which all snapshots are invalid."""
_NOT_STARTED: Final = 2**127
"""Above all numbers of changes."""


class CacheValidity:
    """The known changes of the catalog, by their numbers. No entry is valid before `on_start`.

    Belongs to the event loop. Other threads may call `has_heartbeat` and `is_product_valid`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.keep_alive: Callable[[], None] = lambda: None
        """Requests heartbeats from the feed."""
        self.was_read = False
        """Whether `has_heartbeat` was called since the last heartbeat."""
        self.heartbeat_deadline = float("-inf")
        self._floor_number = _NOT_STARTED
        self._product_numbers: dict[ProductId, int] = {}
        self.seller_numbers: dict[AccountId, int] = {}
        self._list_changes = ListChanges(_NOT_STARTED)
        self._pending_list_changes: deque[tuple[float, CatalogChange]] = deque()

    def has_heartbeat(self, now: float) -> bool:
        """Whether the cache may serve entries; if not, requests a heartbeat."""
        self.was_read = True
        if now < self.heartbeat_deadline:
            return True
        self.keep_alive()
        return False

    def is_product_valid(self, snapshot_number: int, product: ProductId, seller: AccountId | None) -> bool:
        """Whether the snapshot includes every known change of the product and of its seller."""
        return (
            snapshot_number > self._floor_number
            and snapshot_number > self._product_numbers.get(product, -1)
            and (seller is None or snapshot_number > self.seller_numbers.get(seller, -1))
        )

    def is_list_valid(self, snapshot_number: int, dependencies: ListDependencies | None) -> bool:
        """Whether the snapshot includes every known change that concerns a list with these dependencies, except those
        of the last `LIST_STALENESS` seconds.
        """
        self._apply_list_changes()
        return self._list_changes.includes_all(snapshot_number, dependencies)

    # --- called for each message of the feed

    def on_start(self, number: int) -> None:
        self._floor_number = number - 1
        self._list_changes = ListChanges(number - 1)
        self._product_numbers.clear()
        self.seller_numbers.clear()
        self._pending_list_changes.clear()
        self.heartbeat_deadline = float("-inf")

    def on_change(self, change: CatalogChange, *, is_local: bool) -> bool:
        """Record a change; return whether the caller must clear the whole cache."""
        if self._floor_number == _NOT_STARTED:
            return False
        for product in change.products:
            self._product_numbers[product] = max(self._product_numbers.get(product, -1), change.number)
        for seller in change.sellers:
            self.seller_numbers[seller] = max(self.seller_numbers.get(seller, -1), change.number)
        self._apply_list_changes()
        if is_local:
            self._list_changes.record(change)
        else:
            # A notification may be as old as the last heartbeat; a late one must not extend the staleness.
            until = min(self._clock(), self.heartbeat_deadline) + LIST_STALENESS
            self._pending_list_changes.append((until, change))
        if change.everything:
            self._floor_number = max(self._floor_number, change.number)
        if len(self._product_numbers) > MAX_TRACKED:
            self._floor_number = max(self._floor_number, *self._product_numbers.values())
            self._product_numbers.clear()
        if len(self.seller_numbers) > MAX_TRACKED:
            # `ProductCache.get_valid` compares entries with `seller_numbers` only, so all entries must be removed.
            self._floor_number = max(self._floor_number, *self.seller_numbers.values())
            self.seller_numbers.clear()
            return True
        return change.everything

    def on_heartbeat(self, moment: float) -> None:
        self.heartbeat_deadline = moment + HEARTBEAT_TIMEOUT
        if self.was_read:
            self.was_read = False
            self.keep_alive()

    def _apply_list_changes(self) -> None:
        now = self._clock()
        while self._pending_list_changes and self._pending_list_changes[0][0] <= now:
            self._list_changes.record(self._pending_list_changes.popleft()[1])


class CacheListener(Protocol):
    """`ports.ChangeListener` on the event loop."""

    def on_start(self, number: int) -> None: ...

    def on_change(self, change: CatalogChange, *, is_local: bool) -> None: ...

    def on_heartbeat(self, moment: float) -> None: ...


class EventLoopListener:
    """Forwards the calls for `ports.ChangeListener` of the feed's thread to the event loop, in order.

    A thread that reports a local change before it returns its result to the loop invalidates the cache first: a client
    that has received the response to its change gets no older entry.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: CacheListener) -> None:
        self._loop = loop
        self._listener = listener

    def on_start(self, number: int) -> None:
        self._call(lambda: self._listener.on_start(number))

    def on_change(self, change: CatalogChange) -> None:
        self._call(lambda: self._listener.on_change(change, is_local=False))

    def on_local_change(self, change: CatalogChange) -> None:
        self._call(lambda: self._listener.on_change(change, is_local=True))

    def on_heartbeat(self, moment: float) -> None:
        self._call(lambda: self._listener.on_heartbeat(moment))

    def _call(self, callback: Callable[[], None]) -> None:
        # The loop may be closed already; then no request reads the cache.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)
