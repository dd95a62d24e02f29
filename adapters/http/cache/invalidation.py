"""What this process knows to have changed in the catalogue: it decides whether a copy may still be shown.

Every copy carries a *stamp*: the horizon that was read before the copy's content was. It has seen every change with
a smaller number. So a copy is good if its stamp is larger than the number of each change of what it shows, whoever
made it, when, and in which order the news and the copy came. `docs/adr/0025` has the argument.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange

HEARTBEAT_TIMEOUT: Final = 0.7
"""So long after a moment as of which all is known, copies are shown without having heard anything newer."""
LIST_STALENESS: Final = 0.3
"""So long a list may be shown after the news that something in the catalogue changed elsewhere. Together: a second."""
MAX_TRACKED: Final = 50_000
"""Products, and sellers, whose last change is remembered one by one; beyond that, as if all had changed last of all.

It matters for what was read before and is still on its way: a copy that is made now has seen them anyhow.
"""
_NOT_STARTED: Final = 2**63


class CacheValidity:
    """Lives on the event loop; other threads may ask `is_trusted` and `is_unchanged`.

    Until `begun`, nothing is good.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.keep_alive: Callable[[], None] = lambda: None
        """Called when what is heard would be of use, and has not been complete for too long."""
        self.was_read = False
        """Whether somebody has asked since the last news."""
        self.heartbeat_deadline = float("-inf")
        self._floor_xid = _NOT_STARTED
        self._product_xids: dict[ProductId, int] = {}
        self.seller_xids: dict[AccountId, int] = {}
        self._list_xid = _NOT_STARTED
        self._pending_list_changes: deque[tuple[float, int]] = deque()

    def has_heartbeat(self, now: float) -> bool:
        """Whether copies may be shown at all: nothing that is older than `TRUST_SECONDS` can have gone unheard."""
        self.was_read = True
        if now < self.heartbeat_deadline:
            return True
        self.keep_alive()
        return False

    def is_product_valid(self, snapshot_xid: int, product: ProductId, seller: AccountId | None) -> bool:
        """Whether a copy of the product has seen every change of it, and of its seller, that was heard of."""
        return (
            snapshot_xid > self._floor_xid
            and snapshot_xid > self._product_xids.get(product, -1)
            and (seller is None or snapshot_xid > self.seller_xids.get(seller, -1))
        )

    def are_lists_valid(self, snapshot_xid: int) -> bool:
        """Whether a list has seen every change but those that were heard of just now."""
        self._apply_list_changes()
        return snapshot_xid > self._list_xid

    # --- what a feed tells

    def on_start(self, number: int) -> None:
        self._floor_xid = self._list_xid = number - 1
        self._product_xids.clear()
        self.seller_xids.clear()
        self._pending_list_changes.clear()
        self.heartbeat_deadline = float("-inf")

    def on_change(self, change: CatalogChange, *, here: bool) -> bool:
        """Return whether all copies are to be dropped, since it is not known which of them it changes."""
        if self._floor_xid == _NOT_STARTED:
            return False
        for product in change.products:
            self._product_xids[product] = max(self._product_xids.get(product, -1), change.number)
        for seller in change.sellers:
            self.seller_xids[seller] = max(self.seller_xids.get(seller, -1), change.number)
        self._apply_list_changes()
        if here:
            self._list_xid = max(self._list_xid, change.number)
        else:
            # It may be as old as the moment as of which all was known: late news is no reason to wait still longer.
            until = min(self._clock(), self.heartbeat_deadline) + LIST_STALENESS
            self._pending_list_changes.append((until, change.number))
        if change.everything:
            self._floor_xid = max(self._floor_xid, change.number)
        if len(self._product_xids) > MAX_TRACKED:
            self._floor_xid = max(self._floor_xid, *self._product_xids.values())
            self._product_xids.clear()
        if len(self.seller_xids) > MAX_TRACKED:
            # Copies that are kept rely on what is known of their sellers.
            self._floor_xid = max(self._floor_xid, *self.seller_xids.values())
            self.seller_xids.clear()
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
            self._list_xid = max(self._list_xid, self._pending_list_changes.popleft()[1])


class CacheListener(Protocol):
    """`ports.ChangeListener`, on the event loop."""

    def on_start(self, number: int) -> None: ...

    def on_change(self, change: CatalogChange, *, here: bool) -> None: ...

    def on_heartbeat(self, moment: float) -> None: ...


class EventLoopListener:
    """`ports.ChangeListener` that brings what a feed's thread says to the event loop, in the same order.

    What a thread says before it hands a result to the loop is there before the result: whoever is told that a change
    was made finds no older copy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: CacheListener) -> None:
        self._loop = loop
        self._listener = listener

    def on_start(self, number: int) -> None:
        self._call(lambda: self._listener.on_start(number))

    def on_change(self, change: CatalogChange) -> None:
        self._call(lambda: self._listener.on_change(change, here=False))

    def on_local_change(self, change: CatalogChange) -> None:
        self._call(lambda: self._listener.on_change(change, here=True))

    def on_heartbeat(self, moment: float) -> None:
        self._call(lambda: self._listener.on_heartbeat(moment))

    def _call(self, callback: Callable[[], None]) -> None:
        # A closed loop has nobody left who could read.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)
