"""Whether a standby has replayed every change that its readers must see, decided from the changes that are known here.

A standby is described by its horizon, a number as that of `change_notifications`: its snapshots include every change
with a smaller number. So it may answer a reader if its horizon exceeds the numbers of all changes that the reader must
see. ADR 68 has the proof.
"""

import time
from collections import deque
from collections.abc import Callable, Collection
from enum import StrEnum
from threading import Lock
from typing import Final

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import AccessChange, CatalogChange

MAX_FEED_AGE: Final = 0.3
"""Seconds after a heartbeat of the feed in which standbys are read from: an answer lacks no change that is older. A
request may join a load that began up to 0.7 s earlier, which adds up to one second."""
MAX_TRACKED: Final = 50_000
"""Products whose last change is tracked individually. Beyond this number, all of them count as changed at the time of
the last change."""
PRUNE_ABOVE: Final = 1_000
"""Above this number of tracked products, those whose changes the standby has replayed are forgotten."""
_NOT_STARTED: Final = 2**127
"""Larger than the number of any change."""


class Fallback(StrEnum):
    """Why the primary answered a read instead of a standby."""

    FEED = "feed"
    """The feed of changes has had no heartbeat for `MAX_FEED_AGE`, so that changes may be unknown."""
    BEHIND = "behind"
    """The standby has not replayed a change yet that the answer must include."""
    AWAY = "away"
    """No standby is usable: none answers, or none follows the primary closely enough."""
    MISSING = "missing"
    """The standby has no such product. It may have been created a moment ago, so only the primary says so."""
    FAILED = "failed"
    """The standby did not execute the statement, for example because it cancelled it to replay a change, or it was
    restarted meanwhile."""


class StandbyFreshness:
    """A `ports.ChangeListener` that records which changes a standby must have replayed. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self.keep_alive: Callable[[], None] = lambda: None
        """Requests heartbeats from the feed."""
        self._floor = _NOT_STARTED
        """The number of the last change after which every product may be different."""
        self._products: dict[ProductId, int] = {}
        self._sellers = -1
        """The number of the last change of a seller, on which any product may depend."""
        self._local = -1
        """The number of the last change by this process."""
        self._latest = -1
        self._heartbeats: deque[tuple[float, int]] = deque()
        """Pairs of the time at which a heartbeat was sent and `_latest` when it returned."""
        self._list_horizon = -1

    # --- `ports.ChangeListener`

    def on_start(self, number: int) -> None:
        with self._lock:
            self._floor = self._latest = self._local = number - 1
            self._products.clear()
            self._sellers = -1
            self._heartbeats.clear()

    def on_change(self, change: CatalogChange) -> None:
        with self._lock:
            self._record(change)

    def on_local_change(self, change: CatalogChange) -> None:
        with self._lock:
            self._record(change)
            self._local = max(self._local, change.number)

    def on_events(self) -> None:
        """Ignored: standbys answer no reads of events."""

    def on_access_change(self, _change: AccessChange) -> None:
        """Ignored: access is decided without standbys."""

    def on_heartbeat(self, moment: float) -> None:
        with self._lock:
            # Every change that was committed before `moment` has been recorded.
            self._heartbeats.append((moment, self._latest))
            while len(self._heartbeats) > 1 and self._heartbeats[0][0] < self._clock() - MAX_FEED_AGE:
                self._heartbeats.popleft()

    def _record(self, change: CatalogChange) -> None:
        if self._floor == _NOT_STARTED:
            return
        self._latest = max(self._latest, change.number)
        for product in change.products:
            self._products[product] = max(self._products.get(product, -1), change.number)
        if change.sellers:
            self._sellers = max(self._sellers, change.number)
        if change.everything:
            self._floor = max(self._floor, change.number)
        if len(self._products) > MAX_TRACKED:
            self._floor = max(self._floor, *self._products.values())
            self._products.clear()

    # --- decisions

    def refuse_products(self, horizon: int, products: Collection[ProductId]) -> Fallback | None:
        """None if a standby with this horizon may answer a read of these products, else the reason why not."""
        self.keep_alive()
        with self._lock:
            if not self._recent_heartbeats():
                return Fallback.FEED
            needed = max(self._floor, self._sellers, *(self._products.get(each, -1) for each in products))
            return None if horizon > needed else Fallback.BEHIND

    def refuse_lists(self, horizon: int) -> Fallback | None:
        """None if a standby with this horizon may answer a read that depends on any product, else the reason why not.

        Changes by this process are needed at once. Changes by others are needed once a heartbeat that was sent after
        them has returned and is `MAX_FEED_AGE` old: in a busy market there is always a newer one.
        """
        self.keep_alive()
        with self._lock:
            recent = self._recent_heartbeats()
            if not recent:
                return Fallback.FEED
            needed = max(self._floor, self._local, self._list_horizon - 1, min(recent))
            return None if horizon > needed else Fallback.BEHIND

    def use_list_horizon(self, horizon: int) -> None:
        """Record the horizon with which lists that are read from now on are cached: they must include all earlier
        changes.
        """
        with self._lock:
            self._list_horizon = max(self._list_horizon, horizon)

    def on_horizon(self, horizon: int) -> None:
        """Forget changes that the standby has replayed. Another standby must have replayed them too."""
        with self._lock:
            if len(self._products) > PRUNE_ABOVE and self._floor != _NOT_STARTED:
                kept = {product: number for product, number in self._products.items() if number >= horizon}
                if len(kept) < len(self._products):
                    self._floor = max(self._floor, horizon - 1)
                    self._products = kept

    def _recent_heartbeats(self) -> list[int]:
        """The values of `_latest` at the heartbeats that were sent within `MAX_FEED_AGE`. The caller holds the lock."""
        since = self._clock() - MAX_FEED_AGE
        return [number for moment, number in self._heartbeats if moment >= since]
