"""Products as everybody sees them, ready to be sent."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from adapters.http.cache.invalidation import CacheValidity
from adapters.http.cache.lru import Bounded, Recurring
from adapters.http.cache.shared_cache import SHARED, SharedCopies, packed, unpacked
from adapters.http.cache.single_flight import InFlightLoad, SingleFlight
from adapters.http.execution.batcher import Answer, Batcher
from adapters.http.framework.middleware import BASELINE_HEADERS
from adapters.http.schemas.products import product_etag, shown
from scalecommerce_core.domain.errors import Overloaded
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.queries import ProductQueries, ProductView

NOBODY: Final = AccountId(0)
RECURRING: Final = 100_000
RENEWAL_SECONDS: Final = 1.0
"""So long a copy that has had its time is still shown, while another is made."""
GATHER_SECONDS: Final = 0.25
"""Copies that have had their time wait so long for others to be made anew with."""
PUBLIC: Final = "public, no-cache"
PERSONAL: Final = "private, no-cache"

Headers = list[tuple[bytes, bytes]]
_JSON: Final = (b"content-type", b"application/json")
_PUBLIC, _PERSONAL = (
    [(b"cache-control", control.encode()), (b"vary", b"Authorization"), *BASELINE_HEADERS]
    for control in (PUBLIC, PERSONAL)
)
_ENCODER: Final = msgspec.json.Encoder()


class ProductCopy:
    """What strangers are answered: `body` None is a 404, of a product that is not there or not for them.

    Its `seller`, and staff, see more, or see it at all: they are not answered from copies.
    """

    __slots__ = ("_personal", "body", "etag", "expires", "headers", "raw_etag", "seller", "stamp")

    def __init__(self, seller: AccountId, etag: str, body: bytes | None, stamp: int, expires: float) -> None:
        self.seller = seller
        self.etag = etag
        self.raw_etag = etag.encode()
        self.body = body
        self.stamp = stamp
        self.expires = expires
        # All that an answer has but the request's id, for those who did not say who they are.
        self.headers = self._headers(_PUBLIC)
        self._personal: Headers | None = None

    @property
    def personal_headers(self) -> Headers:
        """The same for those who did."""
        if self._personal is None:
            self._personal = self._headers(_PERSONAL)
        return self._personal

    def _headers(self, rest: Headers) -> Headers:
        return [(b"content-length", b"%d" % len(self.body or b"")), _JSON, (b"etag", self.raw_etag), *rest]


class Batching(Protocol):
    """What is wanted of `Batcher`."""

    def enqueue(self, command: ProductId, answer: Answer[ProductCopy]) -> None: ...

    async def drain(self) -> None: ...


Batched = Callable[[Callable[[Sequence[ProductId]], Sequence[ProductCopy | Exception]]], Batching]


class ProductCopies:
    """`seconds` bounds what no change tells of: views are counted without one.

    Whoever asks for a product that somebody else is waiting for waits for the same; all that are asked for while the
    database is busy with others share its next statements.
    """

    def __init__(
        self,
        queries: ProductQueries,
        validity: CacheValidity,
        *,
        limit: int,
        seconds: float,
        shared: SharedCopies | None = None,
        clock: Callable[[], float] = time.monotonic,
        batched: Batched = Batcher,
    ) -> None:
        self._queries = queries
        self._validity = validity
        self._shared = shared
        self._seconds = seconds
        self._clock = clock
        self._copies: Bounded[ProductId, ProductCopy] = Bounded(limit)
        self._flights: SingleFlight[ProductId, ProductCopy] = SingleFlight(clock)
        self._due: set[ProductId] = set()
        self._recurring: Recurring[ProductId] = Recurring(RECURRING)
        self._batcher = batched(self._load)

    def ready(self, product: ProductId) -> ProductCopy | None:
        """A copy that holds now."""
        now = self._clock()
        validity = self._validity
        if not validity.has_heartbeat(now):
            return None
        copy = self._copies.get(product)
        if copy is None:
            return None
        # Of products each change takes its copy away; what a seller has is not known there.
        if validity.seller_xids and not validity.is_product_valid(copy.stamp, product, copy.seller):
            self._copies.drop(product)
            return None
        if now >= copy.expires:
            if now >= copy.expires + RENEWAL_SECONDS:
                self._copies.drop(product)
                return None
            self._renew(product)
        return copy

    async def get(self, product: ProductId) -> ProductCopy:
        """A copy that holds, made now if there is none; raise `Unavailable` or `Overloaded`."""
        return self.ready(product) or await self.made(product)

    async def made(self, product: ProductId) -> ProductCopy:
        """As `get`, for who knows that none is ready."""
        return await (self._flights.find_joinable(product) or self._fly(product)).wait()

    def changed(self, change: CatalogChange) -> None:
        for product in change.products:
            copy = self._copies.peek(product)
            # What was made here is told twice: by then the copy is a new one.
            if copy is not None and copy.stamp <= change.number:
                self._copies.drop(product)
        # Who comes from now on must not be given what was read before.
        self._flights.detach(change.products)
        if change.sellers:
            self._flights.detach_all()

    def clear(self) -> None:
        self._copies.clear()
        self._flights.detach_all()

    async def close(self) -> None:
        await self._batcher.drain()

    def _fly(self, product: ProductId) -> InFlightLoad[ProductId, ProductCopy]:
        flight = self._flights.start(product, self._keep)
        try:
            self._batcher.enqueue(product, flight)
        except Overloaded:
            flight.cancel()
            raise
        return flight

    def _renew(self, product: ProductId) -> None:
        """Soon, together with others: a statement for each would cost many times as much."""
        if product not in self._flights:
            if not self._due:
                asyncio.get_running_loop().call_later(GATHER_SECONDS, self._renew_due)
            self._due.add(product)

    def _renew_due(self) -> None:
        due, self._due = self._due, set()
        # When too many wait already, those who ask will make it anew.
        with suppress(Overloaded):
            for product in due:
                if product not in self._flights:
                    self._fly(product)

    def _keep(self, product: ProductId, copy: ProductCopy) -> None:
        if self._validity.is_product_valid(copy.stamp, product, copy.seller):
            self._copies.put(product, copy, len(copy.body or b""))

    # --- in the batcher's thread

    def _load(self, products: Sequence[ProductId]) -> list[ProductCopy]:
        expires = self._clock() + self._seconds
        unique = dict.fromkeys(products)
        # Nothing is gained by sharing what is asked for once a day.
        often = [product for product in unique if self._recurring.meet(product)] if self._shared else []
        found = self._from_others(often, expires - SHARED * self._seconds)
        missing = {product: None for product in unique if product not in found}
        if missing:
            stamp, views = self._queries.snapshot(missing)
            for product in missing:
                found[product] = _copy(views.get(product), stamp, expires)
            self._for_others({product: found[product] for product in often if product in missing})
        return [found[product] for product in products]

    def _from_others(self, products: Sequence[ProductId], expires: float) -> dict[ProductId, ProductCopy]:
        found: dict[ProductId, ProductCopy] = {}
        if self._shared is None or not products:
            return found
        for product, content in zip(products, self._shared.get([_key(p) for p in products]), strict=True):
            copy = unpacked(content)
            # What others have put there may have changed unheard while nothing is heard.
            if copy is None or not self._validity.has_heartbeat(self._clock()):
                continue
            if self._validity.is_product_valid(copy.stamp, product, AccountId(copy.seller)):
                seller = AccountId(copy.seller)
                found[product] = ProductCopy(seller, copy.etag, copy.body, copy.stamp, expires)
        return found

    def _for_others(self, copies: Mapping[ProductId, ProductCopy]) -> None:
        if self._shared is not None and copies:
            self._shared.put(
                {_key(p): packed(copy.stamp, copy.seller, copy.etag, copy.body) for p, copy in copies.items()}
            )


def _key(product: ProductId) -> str:
    return f"product:{product}"


def _copy(view: ProductView | None, stamp: int, expires: float) -> ProductCopy:
    if view is None:
        return ProductCopy(NOBODY, "", None, stamp, expires)
    document = shown(view)
    body = _ENCODER.encode(document) if view.is_active else None
    return ProductCopy(view.seller.id, product_etag(view.version, document), body, stamp, expires)
