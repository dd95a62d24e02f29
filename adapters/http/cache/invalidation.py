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

TRUST_SECONDS: Final = 0.7
"""So long after a moment as of which all is known, copies are shown without having heard anything newer."""
GRACE_SECONDS: Final = 0.3
"""So long a list may be shown after the news that something in the catalogue changed elsewhere. Together: a second."""
MOST: Final = 50_000
"""Products, and sellers, whose last change is remembered one by one; beyond that, as if all had changed last of all.

It matters for what was read before and is still on its way: a copy that is made now has seen them anyhow.
"""
_NEVER: Final = 2**63


class Knowledge:
    """Lives on the event loop; other threads may ask `is_trusted` and `is_unchanged`.

    Until `begun`, nothing is good.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.wanted: Callable[[], None] = lambda: None
        """Called when what is heard would be of use, and has not been complete for too long."""
        self.is_asked = False
        """Whether somebody has asked since the last news."""
        self.trusted_until = float("-inf")
        self._floor = _NEVER
        self._products: dict[ProductId, int] = {}
        self.sellers: dict[AccountId, int] = {}
        self._lists = _NEVER
        self._news: deque[tuple[float, int]] = deque()

    def is_trusted(self, now: float) -> bool:
        """Whether copies may be shown at all: nothing that is older than `TRUST_SECONDS` can have gone unheard."""
        self.is_asked = True
        if now < self.trusted_until:
            return True
        self.wanted()
        return False

    def is_unchanged(self, stamp: int, product: ProductId, seller: AccountId | None) -> bool:
        """Whether a copy of the product has seen every change of it, and of its seller, that was heard of."""
        return (
            stamp > self._floor
            and stamp > self._products.get(product, -1)
            and (seller is None or stamp > self.sellers.get(seller, -1))
        )

    def lists_unchanged(self, stamp: int) -> bool:
        """Whether a list has seen every change but those that were heard of just now."""
        self._age()
        return stamp > self._lists

    # --- what a feed tells

    def begun(self, number: int) -> None:
        self._floor = self._lists = number - 1
        self._products.clear()
        self.sellers.clear()
        self._news.clear()
        self.trusted_until = float("-inf")

    def changed(self, change: CatalogChange, *, here: bool) -> bool:
        """Return whether all copies are to be dropped, since it is not known which of them it changes."""
        if self._floor == _NEVER:
            return False
        for product in change.products:
            self._products[product] = max(self._products.get(product, -1), change.number)
        for seller in change.sellers:
            self.sellers[seller] = max(self.sellers.get(seller, -1), change.number)
        self._age()
        if here:
            self._lists = max(self._lists, change.number)
        else:
            # It may be as old as the moment as of which all was known: late news is no reason to wait still longer.
            until = min(self._clock(), self.trusted_until) + GRACE_SECONDS
            self._news.append((until, change.number))
        if change.everything:
            self._floor = max(self._floor, change.number)
        if len(self._products) > MOST:
            self._floor = max(self._floor, *self._products.values())
            self._products.clear()
        if len(self.sellers) > MOST:
            # Copies that are kept rely on what is known of their sellers.
            self._floor = max(self._floor, *self.sellers.values())
            self.sellers.clear()
            return True
        return change.everything

    def complete(self, moment: float) -> None:
        self.trusted_until = moment + TRUST_SECONDS
        if self.is_asked:
            self.is_asked = False
            self.wanted()

    def _age(self) -> None:
        now = self._clock()
        while self._news and self._news[0][0] <= now:
            self._lists = max(self._lists, self._news.popleft()[1])


class CacheListener(Protocol):
    """`ports.ChangeListener`, on the event loop."""

    def begun(self, number: int) -> None: ...

    def changed(self, change: CatalogChange, *, here: bool) -> None: ...

    def complete(self, moment: float) -> None: ...


class OnLoop:
    """`ports.ChangeListener` that brings what a feed's thread says to the event loop, in the same order.

    What a thread says before it hands a result to the loop is there before the result: whoever is told that a change
    was made finds no older copy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: CacheListener) -> None:
        self._loop = loop
        self._listener = listener

    def begun(self, number: int) -> None:
        self._call(lambda: self._listener.begun(number))

    def changed(self, change: CatalogChange) -> None:
        self._call(lambda: self._listener.changed(change, here=False))

    def changed_here(self, change: CatalogChange) -> None:
        self._call(lambda: self._listener.changed(change, here=True))

    def complete(self, moment: float) -> None:
        self._call(lambda: self._listener.complete(moment))

    def _call(self, what: Callable[[], None]) -> None:
        # A closed loop has nobody left who could read.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)
