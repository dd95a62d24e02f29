"""Products as everybody sees them, ready to be sent."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from adapters.http.cache.invalidation import CacheValidity
from adapters.http.cache.lru import AdmissionFilter, LruCache
from adapters.http.cache.shared_cache import SHARED_TTL_FRACTION, SharedCache, decode_entry, encode_entry
from adapters.http.cache.single_flight import InFlightLoad, SingleFlight
from adapters.http.execution.batcher import Batcher, Waiter
from adapters.http.framework.middleware import BASELINE_HEADERS
from adapters.http.schemas.products import product_etag, to_product_schema
from scalecommerce_core.domain.errors import Overloaded
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import CatalogChange
from scalecommerce_core.queries import ProductQueries, ProductView

NO_SELLER: Final = AccountId(0)
ADMISSION_KEYS: Final = 100_000
STALE_WHILE_REVALIDATE_SECONDS: Final = 1.0
"""So long a copy that has had its time is still shown, while another is made."""
REFRESH_DELAY_SECONDS: Final = 0.25
"""Copies that have had their time wait so long for others to be made anew with."""
ANONYMOUS_CACHE_CONTROL: Final = "public, no-cache"
AUTHENTICATED_CACHE_CONTROL: Final = "private, no-cache"

Headers = list[tuple[bytes, bytes]]
_JSON: Final = (b"content-type", b"application/json")
_ANONYMOUS_HEADERS, _AUTHENTICATED_HEADERS = (
    [(b"cache-control", control.encode()), (b"vary", b"Authorization"), *BASELINE_HEADERS]
    for control in (ANONYMOUS_CACHE_CONTROL, AUTHENTICATED_CACHE_CONTROL)
)
_ENCODER: Final = msgspec.json.Encoder()


class ProductCacheEntry:
    """What strangers are answered: `body` None is a 404, of a product that is not there or not for them.

    Its `seller`, and staff, see more, or see it at all: they are not answered from copies.
    """

    __slots__ = ("_authenticated_headers", "body", "etag", "etag_bytes", "expires", "headers", "seller", "snapshot_xid")

    def __init__(self, seller: AccountId, etag: str, body: bytes | None, snapshot_xid: int, expires: float) -> None:
        self.seller = seller
        self.etag = etag
        self.etag_bytes = etag.encode()
        self.body = body
        self.snapshot_xid = snapshot_xid
        self.expires = expires
        # All that an answer has but the request's id, for those who did not say who they are.
        self.headers = self._headers(_ANONYMOUS_HEADERS)
        self._authenticated_headers: Headers | None = None

    @property
    def authenticated_headers(self) -> Headers:
        """The same for those who did."""
        if self._authenticated_headers is None:
            self._authenticated_headers = self._headers(_AUTHENTICATED_HEADERS)
        return self._authenticated_headers

    def _headers(self, rest: Headers) -> Headers:
        return [(b"content-length", b"%d" % len(self.body or b"")), _JSON, (b"etag", self.etag_bytes), *rest]


class LoadQueue(Protocol):
    """What is wanted of `Batcher`."""

    def enqueue(self, command: ProductId, answer: Waiter[ProductCacheEntry]) -> None: ...

    async def drain(self) -> None: ...


LoadQueueFactory = Callable[[Callable[[Sequence[ProductId]], Sequence[ProductCacheEntry | Exception]]], LoadQueue]


class ProductCache:
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
        ttl_seconds: float,
        shared: SharedCache | None = None,
        clock: Callable[[], float] = time.monotonic,
        create_queue: LoadQueueFactory = Batcher,
    ) -> None:
        self._queries = queries
        self._validity = validity
        self._shared = shared
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._entries: LruCache[ProductId, ProductCacheEntry] = LruCache(limit)
        self._single_flight: SingleFlight[ProductId, ProductCacheEntry] = SingleFlight(clock)
        self._to_refresh: set[ProductId] = set()
        self._admission: AdmissionFilter[ProductId] = AdmissionFilter(ADMISSION_KEYS)
        self._load_queue = create_queue(self._load_batch)

    def get_valid(self, product: ProductId) -> ProductCacheEntry | None:
        """A copy that holds now."""
        now = self._clock()
        validity = self._validity
        if not validity.has_heartbeat(now):
            return None
        copy = self._entries.get(product)
        if copy is None:
            return None
        # Of products each change takes its copy away; what a seller has is not known there.
        if validity.seller_xids and not validity.is_product_valid(copy.snapshot_xid, product, copy.seller):
            self._entries.discard(product)
            return None
        if now >= copy.expires:
            if now >= copy.expires + STALE_WHILE_REVALIDATE_SECONDS:
                self._entries.discard(product)
                return None
            self._schedule_refresh(product)
        return copy

    async def get(self, product: ProductId) -> ProductCacheEntry:
        """A copy that holds, made now if there is none; raise `Unavailable` or `Overloaded`."""
        return self.get_valid(product) or await self.load(product)

    async def load(self, product: ProductId) -> ProductCacheEntry:
        """As `get`, for who knows that none is ready."""
        return await (self._single_flight.find_joinable(product) or self._start_load(product)).wait()

    def on_change(self, change: CatalogChange) -> None:
        for product in change.products:
            copy = self._entries.peek(product)
            # What was made here is told twice: by then the copy is a new one.
            if copy is not None and copy.snapshot_xid <= change.number:
                self._entries.discard(product)
        # Who comes from now on must not be given what was read before.
        self._single_flight.detach(change.products)
        if change.sellers:
            self._single_flight.detach_all()

    def clear(self) -> None:
        self._entries.clear()
        self._single_flight.detach_all()

    async def close(self) -> None:
        await self._load_queue.drain()

    def _start_load(self, product: ProductId) -> InFlightLoad[ProductId, ProductCacheEntry]:
        flight = self._single_flight.start(product, self._store)
        try:
            self._load_queue.enqueue(product, flight)
        except Overloaded:
            flight.cancel()
            raise
        return flight

    def _schedule_refresh(self, product: ProductId) -> None:
        """Soon, together with others: a statement for each would cost many times as much."""
        if product not in self._single_flight:
            if not self._to_refresh:
                asyncio.get_running_loop().call_later(REFRESH_DELAY_SECONDS, self._refresh)
            self._to_refresh.add(product)

    def _refresh(self) -> None:
        due, self._to_refresh = self._to_refresh, set()
        # When too many wait already, those who ask will make it anew.
        with suppress(Overloaded):
            for product in due:
                if product not in self._single_flight:
                    self._start_load(product)

    def _store(self, product: ProductId, copy: ProductCacheEntry) -> None:
        if self._validity.is_product_valid(copy.snapshot_xid, product, copy.seller):
            self._entries.put(product, copy, len(copy.body or b""))

    # --- in the batcher's thread

    def _load_batch(self, products: Sequence[ProductId]) -> list[ProductCacheEntry]:
        expires = self._clock() + self._ttl_seconds
        unique = dict.fromkeys(products)
        # Nothing is gained by sharing what is asked for once a day.
        often = [product for product in unique if self._admission.seen_before(product)] if self._shared else []
        found = self._read_shared(often, expires - SHARED_TTL_FRACTION * self._ttl_seconds)
        missing = {product: None for product in unique if product not in found}
        if missing:
            snapshot_xid, views = self._queries.snapshot(missing)
            for product in missing:
                found[product] = _build_entry(views.get(product), snapshot_xid, expires)
            self._write_shared({product: found[product] for product in often if product in missing})
        return [found[product] for product in products]

    def _read_shared(self, products: Sequence[ProductId], expires: float) -> dict[ProductId, ProductCacheEntry]:
        found: dict[ProductId, ProductCacheEntry] = {}
        if self._shared is None or not products:
            return found
        for product, content in zip(products, self._shared.get([_key(p) for p in products]), strict=True):
            copy = decode_entry(content)
            # What others have put there may have changed unheard while nothing is heard.
            if copy is None or not self._validity.has_heartbeat(self._clock()):
                continue
            if self._validity.is_product_valid(copy.snapshot_xid, product, AccountId(copy.seller)):
                seller = AccountId(copy.seller)
                found[product] = ProductCacheEntry(seller, copy.etag, copy.body, copy.snapshot_xid, expires)
        return found

    def _write_shared(self, copies: Mapping[ProductId, ProductCacheEntry]) -> None:
        if self._shared is not None and copies:
            self._shared.put(
                {
                    _key(p): encode_entry(copy.snapshot_xid, copy.seller, copy.etag, copy.body)
                    for p, copy in copies.items()
                }
            )


def _key(product: ProductId) -> str:
    return f"product:{product}"


def _build_entry(view: ProductView | None, snapshot_xid: int, expires: float) -> ProductCacheEntry:
    if view is None:
        return ProductCacheEntry(NO_SELLER, "", None, snapshot_xid, expires)
    document = to_product_schema(view)
    body = _ENCODER.encode(document) if view.is_active else None
    return ProductCacheEntry(view.seller.id, product_etag(view.version, document), body, snapshot_xid, expires)
