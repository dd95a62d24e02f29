"""Cache of the public responses of products, encoded and with their headers."""

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
"""Seconds for which an entry past its TTL is still served while it is loaded again."""
REFRESH_DELAY_SECONDS: Final = 0.25
"""Seconds between the first use of an entry past its TTL and the reload; entries that expire meanwhile join it."""
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
    """The response to a reader who is neither the product's `seller` nor staff.

    `body` None is a 404: the product does not exist or is inactive. Sellers and staff see more fields, and inactive
    products; their requests bypass the cache.
    """

    __slots__ = (
        "_authenticated_headers",
        "body",
        "etag",
        "etag_bytes",
        "expires",
        "headers",
        "seller",
        "snapshot_number",
    )

    def __init__(self, seller: AccountId, etag: str, body: bytes | None, snapshot_number: int, expires: float) -> None:
        self.seller = seller
        self.etag = etag
        self.etag_bytes = etag.encode()
        self.body = body
        self.snapshot_number = snapshot_number
        self.expires = expires
        # All headers of the response to an anonymous request, except the request id.
        self.headers = self._headers(_ANONYMOUS_HEADERS)
        self._authenticated_headers: Headers | None = None

    @property
    def authenticated_headers(self) -> Headers:
        """The headers of the response to an authenticated request, except the request id."""
        if self._authenticated_headers is None:
            self._authenticated_headers = self._headers(_AUTHENTICATED_HEADERS)
        return self._authenticated_headers

    def _headers(self, rest: Headers) -> Headers:
        return [(b"content-length", b"%d" % len(self.body or b"")), _JSON, (b"etag", self.etag_bytes), *rest]


class LoadQueue(Protocol):
    """The methods of `Batcher` that `ProductCache` calls."""

    def enqueue(self, command: ProductId, waiter: Waiter[ProductCacheEntry]) -> None: ...

    async def drain(self) -> None: ...


LoadQueueFactory = Callable[[Callable[[Sequence[ProductId]], Sequence[ProductCacheEntry | Exception]]], LoadQueue]


class ProductCache:
    """Product pages by id, loaded by single-flight; loads that start during another load share one statement.

    `limit` is in bytes. `ttl_seconds` bounds the age of fields whose changes send no notification (view counts).
    """

    def __init__(
        self,
        queries: ProductQueries,
        validity: CacheValidity,
        *,
        limit: int,
        ttl_seconds: float,
        shared: SharedCache | None = None,
        seller_email: bool = False,
        clock: Callable[[], float] = time.monotonic,
        create_queue: LoadQueueFactory = Batcher,
    ) -> None:
        self._queries = queries
        self._validity = validity
        self._shared = shared
        self._seller_email = seller_email
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._entries: LruCache[ProductId, ProductCacheEntry] = LruCache(limit)
        self._single_flight: SingleFlight[ProductId, ProductCacheEntry] = SingleFlight(clock)
        self._to_refresh: set[ProductId] = set()
        self._admission: AdmissionFilter[ProductId] = AdmissionFilter(ADMISSION_KEYS)
        self._load_queue = create_queue(self._load_batch)
        self.hits = 0
        """Look-ups that found a valid entry since the process started."""
        self.misses = 0

    def get_valid(self, product: ProductId) -> ProductCacheEntry | None:
        """Return the entry if it is valid now."""
        now = self._clock()
        validity = self._validity
        if not validity.has_heartbeat(now):
            return None
        entry = self._entries.get(product)
        if entry is None:
            return None
        # `on_change` has removed entries of changed products. A changed seller's entries are found here.
        if validity.seller_numbers and not validity.is_product_valid(entry.snapshot_number, product, entry.seller):
            self._entries.discard(product)
            return None
        if now >= entry.expires:
            if now >= entry.expires + STALE_WHILE_REVALIDATE_SECONDS:
                self._entries.discard(product)
                return None
            self._schedule_refresh(product)
        self.hits += 1
        return entry

    async def get(self, product: ProductId) -> ProductCacheEntry:
        """Return a valid entry, loaded if necessary; raise `Unavailable` or `Overloaded`."""
        return self.get_valid(product) or await self.load(product)

    async def load(self, product: ProductId) -> ProductCacheEntry:
        """Load the entry, for callers that got None from `get_valid`; raise `Unavailable` or `Overloaded`."""
        self.misses += 1
        return await (self._single_flight.find_joinable(product) or self._start_load(product)).wait()

    def on_change(self, change: CatalogChange) -> None:
        for product in change.products:
            entry = self._entries.peek(product)
            # A local change is notified twice; an entry loaded between the two notifications stays.
            if entry is not None and entry.snapshot_number <= change.number:
                self._entries.discard(product)
        # Requests after the change must not join loads that started before it.
        self._single_flight.detach(change.products)
        if change.sellers:
            self._single_flight.detach_all()

    def clear(self) -> None:
        self._entries.clear()
        self._single_flight.detach_all()

    async def close(self) -> None:
        await self._load_queue.drain()

    def _start_load(self, product: ProductId) -> InFlightLoad[ProductId, ProductCacheEntry]:
        load = self._single_flight.start(product, self._store)
        try:
            self._load_queue.enqueue(product, load)
        except Overloaded:
            load.cancel()
            raise
        return load

    def _schedule_refresh(self, product: ProductId) -> None:
        """Reload the entry with others after `REFRESH_DELAY_SECONDS`: one statement each would cost many times more."""
        if product not in self._single_flight:
            if not self._to_refresh:
                asyncio.get_running_loop().call_later(REFRESH_DELAY_SECONDS, self._refresh)
            self._to_refresh.add(product)

    def _refresh(self) -> None:
        products, self._to_refresh = self._to_refresh, set()
        # Under overload the entries expire, and the next request loads them.
        with suppress(Overloaded):
            for product in products:
                if product not in self._single_flight:
                    self._start_load(product)

    def _store(self, product: ProductId, entry: ProductCacheEntry) -> None:
        if self._validity.is_product_valid(entry.snapshot_number, product, entry.seller):
            self._entries.put(product, entry, len(entry.body or b""))

    # --- in the thread of the load queue

    def _load_batch(self, products: Sequence[ProductId]) -> list[ProductCacheEntry]:
        expires = self._clock() + self._ttl_seconds
        unique = dict.fromkeys(products)
        # Only recurring products are worth a round trip to the shared cache.
        recurring = [product for product in unique if self._admission.seen_before(product)] if self._shared else []
        found = self._read_shared(recurring, expires - SHARED_TTL_FRACTION * self._ttl_seconds)
        missing = {product: None for product in unique if product not in found}
        if missing:
            snapshot_number, views = self._queries.snapshot(missing)
            for product in missing:
                found[product] = _build_entry(
                    views.get(product), snapshot_number, expires, seller_email=self._seller_email
                )
            self._write_shared({product: found[product] for product in recurring if product in missing})
        return [found[product] for product in products]

    def _read_shared(self, products: Sequence[ProductId], expires: float) -> dict[ProductId, ProductCacheEntry]:
        found: dict[ProductId, ProductCacheEntry] = {}
        if self._shared is None or not products:
            return found
        for product, content in zip(products, self._shared.get([_key(p) for p in products]), strict=True):
            shared = decode_entry(content)
            # Without a heartbeat, invalidations of this entry may be missing.
            if shared is None or not self._validity.has_heartbeat(self._clock()):
                continue
            seller = AccountId(shared.seller)
            if self._validity.is_product_valid(shared.snapshot_number, product, seller):
                found[product] = ProductCacheEntry(seller, shared.etag, shared.body, shared.snapshot_number, expires)
        return found

    def _write_shared(self, entries: Mapping[ProductId, ProductCacheEntry]) -> None:
        if self._shared is not None and entries:
            self._shared.put(
                {
                    _key(product): encode_entry(entry.snapshot_number, entry.seller, entry.etag, entry.body)
                    for product, entry in entries.items()
                }
            )


def _key(product: ProductId) -> str:
    return f"product:{product}"


def _build_entry(
    view: ProductView | None, snapshot_number: int, expires: float, *, seller_email: bool
) -> ProductCacheEntry:
    if view is None:
        return ProductCacheEntry(NO_SELLER, "", None, snapshot_number, expires)
    schema = to_product_schema(view, seller_email=seller_email)
    body = _ENCODER.encode(schema) if view.is_active else None
    return ProductCacheEntry(view.seller.id, product_etag(view.version, schema), body, snapshot_number, expires)
