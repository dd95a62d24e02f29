"""Whether the search index of a process includes every change that its readers must see.

The index has a horizon, a number as that of `change_notifications`: it includes every change with a smaller number. The
feed reports which products have changed and, with each heartbeat, a number below which it has reported everything. So
once the reported products have been read again, the horizon of the index is that number. Readers see changes by this
process at once and those of other processes at most `MAX_INDEX_AGE` late, as lists from the cache do (ADR 25).
"""

import time
from collections.abc import Callable
from threading import Condition
from typing import Final

from attrs import field, frozen

from adapters.db.queries.search.index.product_index import ProductIndex
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.ports import AccessChange, CatalogChange, ProductAspect

MAX_INDEX_AGE: Final = 0.3
"""Seconds after a heartbeat of the feed in which the index answers. A request may join a load that began up to 0.7 s
earlier, which adds up to one second."""
LOCAL_CHANGE_SECONDS: Final = 0.02
"""How long a reader waits until the index includes the changes by this process."""
MAX_PENDING: Final = 50_000
"""If more products than this have changed, the index is rebuilt."""
PRICES_PER_PRODUCT: Final = 10
"""About so many prices are read in the time of one product."""
MAX_RECORDED: Final = 500_000
"""Changed products that are recorded for the index that is built meanwhile."""
MAX_OWN_CHANGES: Final = 10_000
_NOT_STARTED: Final = 2**127
"""Larger than the number of any change."""
_INDEXED: Final = frozenset({ProductAspect.MEMBERSHIP, ProductAspect.TEXT, ProductAspect.PRICE})
"""The index has no stock."""
_PRICE_ONLY: Final = frozenset({ProductAspect.PRICE, ProductAspect.SOLD_OUT, ProductAspect.RESTOCKED})


@frozen
class DueChanges:
    """Products that are to be read again: all of their indexed columns, or only the prices.

    The index has the `horizon` afterwards, proven by the heartbeat at `moment`; None: as before.
    """

    products: frozenset[ProductId] = field(repr=False)
    prices: frozenset[ProductId] = field(repr=False)
    heartbeat: tuple[float, int] | None
    local_changes: int


class FreshIndex:
    """The search index of a process: a `ports.ChangeListener` that records what the index lacks. Thread-safe.

    `read_horizon` returns a number below which the feed has reported every change; None: it has not started. One
    thread, the maintainer, waits by `wait_for_work`, and makes the changes that `take` returns.
    """

    def __init__(self, read_horizon: Callable[[], int | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read_horizon = read_horizon
        self._clock = clock
        self._condition = Condition()
        self.keep_alive: Callable[[], None] = lambda: None
        """Requests heartbeats from the feed."""
        self._recorded: dict[ProductId, int] = {}
        """The number of the last change of each product that the index, or one that is being built, may lack."""
        self._recorded_from = _NOT_STARTED
        """Every change from this number on is recorded."""
        self._everything = -1
        """The number of the last change that only a new index includes."""
        self._index: ProductIndex | None = None
        self._starts = 0
        """How often the feed has started."""
        self._has_gap = False
        """Whether the feed has been interrupted since the index had its horizon."""
        self._horizon = -1
        self._list_horizon = -1
        self._moment = float("-inf")
        """The time of the last heartbeat before which every reported change was committed that the index includes."""
        self._products: set[ProductId] = set()
        self._prices: set[ProductId] = set()
        self._is_taken = False
        self._heartbeat: tuple[float, int] | None = None
        self._own_changes: set[int] = set()
        """The numbers of changes by this process that the feed has not reported yet."""
        self._local_changes = 0
        self._included_local_changes = 0
        self._is_stopping = False
        self.answers = 0
        """How often `current` returned the index."""
        self.refusals = 0

    # --- `ports.ChangeListener`

    def on_start(self, number: int) -> None:
        with self._condition:
            self._starts += 1
            self._own_changes.clear()
            self._recorded_from = number
            self._heartbeat = None
            self._has_gap = True
            self._condition.notify_all()

    def on_change(self, change: CatalogChange) -> None:
        with self._condition:
            if change.number in self._own_changes:
                # Recorded at once after its commit.
                self._own_changes.discard(change.number)
            else:
                self._record(change)

    def on_local_change(self, change: CatalogChange) -> None:
        with self._condition:
            if self._record(change):
                self._local_changes += 1
                self._own_changes.add(change.number)
                if len(self._own_changes) > MAX_OWN_CHANGES:
                    self._own_changes.clear()

    def on_events(self) -> None:
        """Ignored: the index has no events."""

    def on_access_change(self, _change: AccessChange) -> None:
        """Ignored: the index does not decide about access."""

    def on_heartbeat(self, moment: float) -> None:
        horizon = self._read_horizon()
        with self._condition:
            if horizon is not None:
                self._heartbeat = moment, horizon
                self._advance_if_complete()

    def _record(self, change: CatalogChange) -> bool:
        """Record a change; return whether the index must include it. The caller holds the lock."""
        if self._recorded_from == _NOT_STARTED:
            return False
        if change.everything:
            self._require_new_index(change.number)
            return True
        if not change.products or (change.aspects is not None and _INDEXED.isdisjoint(change.aspects)):
            return False
        for product in change.products:
            self._recorded[product] = max(self._recorded.get(product, -1), change.number)
        if len(self._recorded) > MAX_RECORDED:
            # The open index has what it lacks in other sets; earlier files cannot be opened any more.
            self._recorded_from = max(self._recorded_from, *(number + 1 for number in self._recorded.values()))
            self._recorded.clear()
        if self._index is not None:
            is_price = change.aspects is not None and _PRICE_ONLY.issuperset(change.aspects)
            (self._prices if is_price else self._products).update(change.products)
            if len(self._products) + len(self._prices) // PRICES_PER_PRODUCT > MAX_PENDING:
                self._require_new_index(change.number)
            self._condition.notify_all()
        return True

    def _require_new_index(self, number: int) -> None:
        self._everything = max(self._everything, number)
        self._close()
        self._condition.notify_all()

    def _close(self) -> None:
        self._index = None
        self._is_taken = False
        self._products.clear()
        self._prices.clear()

    def _advance_if_complete(self) -> None:
        """Raise the horizon to that of the last heartbeat, if the index includes all that was reported before it."""
        is_complete = self._index is not None and not (
            self._has_gap or self._is_taken or self._products or self._prices
        )
        if is_complete:
            self._included_local_changes = self._local_changes
            if self._heartbeat is not None:
                self._advance(self._heartbeat)
                self._heartbeat = None

    def _advance(self, heartbeat: tuple[float, int]) -> None:
        self._moment = max(self._moment, heartbeat[0])
        self._horizon = max(self._horizon, heartbeat[1])

    # --- decisions

    def current(self) -> ProductIndex | None:
        """The index, if it may answer now; waits up to `LOCAL_CHANGE_SECONDS` for changes by this process."""
        self.keep_alive()
        with self._condition:
            if not self._is_current():
                self.refusals += 1
                return None
            self.answers += 1
            return self._index

    def choose_list_horizon(self) -> int | None:
        """The horizon with which lists that are read from now on are cached, if the index may answer, else None."""
        self.keep_alive()
        with self._condition:
            if not self._is_current():
                return None
            self._list_horizon = self._horizon
            return self._horizon

    def use_list_horizon(self, horizon: int) -> None:
        """Record a horizon with which lists that are read from now on are cached: they must include all earlier
        changes.
        """
        with self._condition:
            self._list_horizon = max(self._list_horizon, horizon)

    def _is_current(self) -> bool:
        if not self._is_usable():
            return False
        wanted = self._local_changes
        if self._included_local_changes < wanted:
            self._condition.wait_for(
                lambda: self._included_local_changes >= wanted or not self._is_usable(), LOCAL_CHANGE_SECONDS
            )
        return self._included_local_changes >= wanted and self._is_usable()

    def _is_usable(self) -> bool:
        return (
            self._index is not None
            and not self._has_gap
            and self._horizon >= self._list_horizon
            and self._clock() - self._moment <= MAX_INDEX_AGE
        )

    # --- called by the maintainer

    @property
    def index(self) -> ProductIndex | None:
        """The index that is kept up to date; it may lack changes now."""
        with self._condition:
            return self._index

    @property
    def horizon(self) -> int:
        """The horizon of the open index."""
        with self._condition:
            return self._horizon

    @property
    def age(self) -> float:
        """Seconds since the heartbeat that proved the horizon of the open index; infinite if none did."""
        return self._clock() - self._moment

    @property
    def pending(self) -> int:
        """How many products are to be read again."""
        with self._condition:
            return len(self._products) + len(self._prices)

    @property
    def has_gap(self) -> bool:
        """Whether the open index may lack changes from its horizon on that the feed has missed."""
        with self._condition:
            return self._index is not None and self._has_gap

    @property
    def feed_starts(self) -> int:
        """How often the feed has started."""
        with self._condition:
            return self._starts

    def records_from(self, number: int) -> bool:
        """Whether all changes from this number on are recorded."""
        with self._condition:
            return self._recorded_from <= number

    def fill_gap(self, number: int, feed_starts: int) -> None:
        """Note that all changes from this number on have been reported to this object by other means, after the feed
        had started so often.
        """
        with self._condition:
            if feed_starts == self._starts:
                self._recorded_from = min(self._recorded_from, number)
                if self._horizon >= number:
                    self._has_gap = False
                    self._advance_if_complete()
                self._condition.notify_all()

    def changed_since(self, horizon: int) -> frozenset[ProductId]:
        """The products that an index with this horizon lacks changes of."""
        with self._condition:
            return frozenset(product for product, number in self._recorded.items() if number >= horizon)

    def is_too_old(self, base: int) -> bool:
        """Whether no reading of single products can bring files of this number up to date."""
        with self._condition:
            return base <= self._everything

    def open_at(self, horizon: int, index: ProductIndex, *, base: int, feed_starts: int) -> bool:
        """Begin to use an index with this horizon, whose files have the number `base`; return False if it is too old
        for that, or if the feed has started again since it had started `feed_starts` times.
        """
        with self._condition:
            if base <= self._everything or horizon < self._recorded_from or feed_starts != self._starts:
                return False
            self._recorded = {product: number for product, number in self._recorded.items() if number >= horizon}
            self._recorded_from = max(self._recorded_from, horizon)
            self._close()
            self._products.update(self._recorded)
            self._index, self._has_gap = index, False
            self._horizon, self._moment = horizon, float("-inf")
            self._advance_if_complete()
            self._condition.notify_all()
            return True

    def close(self) -> None:
        """End the use of the index until another one is opened."""
        with self._condition:
            self._close()
            self._condition.notify_all()

    def wait_for_work(self, seconds: float) -> None:
        """Wait until `take` returns changes, or the open index has a gap or was closed, but not longer than this."""
        with self._condition:
            was_open = self._index is not None
            self._condition.wait_for(
                lambda: (
                    self._is_stopping
                    or (self._index is not None) != was_open
                    or (self._index is not None and bool(self._has_gap or self._products or self._prices))
                ),
                seconds,
            )

    def stop(self) -> None:
        """End the waiting of the maintainer."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()

    def take(self) -> DueChanges | None:
        """Return what is to be read again; None: nothing. The caller calls `finish` or `give_back`."""
        with self._condition:
            if self._index is None or not (self._products or self._prices):
                return None
            due = DueChanges(
                frozenset(self._products),
                frozenset(self._prices - self._products),
                self._heartbeat,
                self._local_changes,
            )
            self._products.clear()
            self._prices.clear()
            self._heartbeat, self._is_taken = None, True
            return due

    def replace(self, index: ProductIndex) -> None:
        """Use this index, which has the same horizon."""
        with self._condition:
            if self._index is not None:
                self._index = index

    def finish(self, due: DueChanges, index: ProductIndex) -> None:
        """Use this index, which includes these changes."""
        with self._condition:
            self._is_taken = False
            if self._index is not None:
                self._index = index
            self._included_local_changes = max(self._included_local_changes, due.local_changes)
            if due.heartbeat is not None and not self._has_gap and self._index is not None:
                self._advance(due.heartbeat)
            self._advance_if_complete()
            self._condition.notify_all()

    def give_back(self, due: DueChanges) -> None:
        """Note that these changes could not be made."""
        with self._condition:
            self._is_taken = False
            if self._index is not None:
                self._products.update(due.products)
                self._prices.update(due.prices)
