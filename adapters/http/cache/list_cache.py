"""Cache of public lists with their facets: whole response bodies by URL."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from adapters.http.cache.invalidation import CacheValidity
from adapters.http.cache.list_dependencies import ANY_CHANGE, ListDependencies
from adapters.http.cache.lru import AdmissionFilter, LruCache
from adapters.http.cache.shared_cache import SHARED_TTL_FRACTION, SharedCache, decode_list, encode_list
from adapters.http.cache.single_flight import InFlightLoad, SingleFlight
from adapters.http.framework.etags import content_etag, is_current
from adapters.http.framework.operation import Call, encode_json
from adapters.http.framework.request_client import RequestClient, current_client, shared_work
from scalecommerce_core.domain.errors import MarketError

Handler = Callable[[Call[Any, Any]], Awaitable[Response]]
RunInThread = Callable[..., Awaitable[Any]]
Promote = Callable[[RequestClient, RequestClient], None]
"""Called when the second client begins to wait for a load of the first one."""

REVALIDATE_HEADERS: Final = {"Cache-Control": "public, no-cache"}
ADMISSION_KEYS: Final = 10_000
PRODUCT_BYTES: Final = 40
"""Memory of the id of a product in the dependencies of an entry."""
SNAPSHOT_REUSE_SECONDS: Final = 0.05
"""Loads within this time share one read of the visibility horizon. An older horizon is safe: it includes fewer
changes."""


class ListResponse(Response):
    """A response with JSON that `ListCache` keeps until a change concerns its `dependencies`."""

    def __init__(self, content: object, dependencies: ListDependencies) -> None:
        super().__init__(encode_json(content), media_type="application/json")
        self.dependencies = dependencies


class ListCacheEntry:
    __slots__ = ("body", "dependencies", "etag", "expires", "snapshot_number")

    def __init__(
        self, body: bytes, dependencies: ListDependencies | None, snapshot_number: int, expires: float
    ) -> None:
        self.body = body
        self.dependencies = dependencies
        self.etag = content_etag(body)
        self.snapshot_number = snapshot_number
        self.expires = expires

    @property
    def size(self) -> int:
        """Bytes, without those that each entry takes."""
        products = () if self.dependencies is None else self.dependencies.products
        return len(self.body) + PRODUCT_BYTES * len(products)


class ListCache:
    """A change of the catalog invalidates the lists that it concerns (`ListDependencies`): at once if this process made
    it, except a decision of orders; after `LIST_STALENESS` seconds otherwise.

    `run_in_thread` calls a function in a thread; `limit` is in bytes; `ttl_seconds` bounds the age of an entry.
    """

    def __init__(
        self,
        read_snapshot_number: Callable[[], int],
        validity: CacheValidity,
        run_in_thread: RunInThread,
        promote: Promote = lambda _waiting, _joined: None,
        *,
        limit: int,
        ttl_seconds: float,
        shared: SharedCache | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_snapshot_number = read_snapshot_number
        self._validity = validity
        self._run_in_thread = run_in_thread
        self._promote = promote
        self._ttl_seconds = ttl_seconds
        self._shared = shared
        self._clock = clock
        self._entries: LruCache[str, ListCacheEntry] = LruCache(limit)
        self._single_flight: SingleFlight[str, ListCacheEntry | Response] = SingleFlight(clock)
        self._loading: set[asyncio.Task[ListCacheEntry | Response]] = set()
        self._admission: AdmissionFilter[str] = AdmissionFilter(ADMISSION_KEYS)
        self._snapshot_number: asyncio.Future[int] | None = None
        self._snapshot_read_at = float("-inf")
        self.hits = 0
        """Look-ups that found a valid entry since the process started."""
        self.misses = 0

    def cached(self, handler: Handler) -> Handler:
        """Return `handler` with its responses cached. Its responses must not depend on the caller.

        A response that is no `ListResponse` is kept until the next change of the catalog.
        """

        async def respond(call: Call[Any, Any]) -> Response:
            found = await self._get(_url_digest(call.request), partial(handler, call))
            if isinstance(found, Response):
                return found
            headers = {"ETag": found.etag, **REVALIDATE_HEADERS}
            if is_current(call.request.headers, found.etag):
                return Response(status_code=304, headers=headers)
            return Response(found.body, headers=headers, media_type="application/json")

        return respond

    def on_local_change(self) -> None:
        """Detach the loads that started before the change: later requests must see it."""
        self._snapshot_read_at = float("-inf")
        self._single_flight.detach_all()

    def clear(self) -> None:
        self._entries.clear()
        self._single_flight.detach_all()

    async def _get(self, digest: str, load: Callable[[], Awaitable[Response]]) -> ListCacheEntry | Response:
        if (entry := self._entries.get(digest)) is not None and self._is_valid(entry):
            self.hits += 1
            return entry
        self.misses += 1
        in_flight = self._single_flight.find_joinable(digest)
        if in_flight is not None:
            if in_flight.client is not None:
                self._promote(in_flight.client, current_client())
        else:
            in_flight = self._single_flight.start(digest, self._store, current_client())
            loading = asyncio.ensure_future(self._load(digest, load))
            # The task outlives a cancelled request; the loop holds only a weak reference to it.
            self._loading.add(loading)
            loading.add_done_callback(partial(self._complete, in_flight))
        return await in_flight.wait()

    def _complete(
        self,
        in_flight: InFlightLoad[str, ListCacheEntry | Response],
        loading: "asyncio.Task[ListCacheEntry | Response]",
    ) -> None:
        self._loading.discard(loading)
        if loading.cancelled():
            in_flight.cancel()
        elif (error := loading.exception()) is not None:
            in_flight.set_exception(error)
        else:
            in_flight.set_result(loading.result())

    def _is_valid(self, entry: ListCacheEntry) -> bool:
        now = self._clock()
        return (
            self._validity.has_heartbeat(now)
            and now < entry.expires
            and self._validity.is_list_valid(entry.snapshot_number, entry.dependencies)
        )

    def _store(self, digest: str, found: ListCacheEntry | Response) -> None:
        if isinstance(found, ListCacheEntry) and self._validity.is_list_valid(
            found.snapshot_number, found.dependencies
        ):
            self._entries.put(digest, found, found.size)

    async def _load(self, digest: str, load: Callable[[], Awaitable[Response]]) -> ListCacheEntry | Response:
        expires = self._clock() + self._ttl_seconds
        key = f"list:{digest}"
        # Only recurring lists are worth a round trip to the shared cache.
        shared = self._shared if self._shared is not None and self._admission.seen_before(digest) else None
        if shared is not None:
            (content,) = await self._run_in_thread(shared.get, [key])
            found = decode_list(content)
            if found is not None:
                entry = ListCacheEntry(
                    found.body,
                    found.dependencies,
                    found.snapshot_number,
                    expires - SHARED_TTL_FRACTION * self._ttl_seconds,
                )
                if self._is_valid(entry):
                    return entry
        # Read before the content, so that the content includes every change before `snapshot_number`.
        snapshot_number = await self._current_snapshot_number()
        response = await load()
        if response.status_code != 200:
            return response
        dependencies = response.dependencies if isinstance(response, ListResponse) else ANY_CHANGE
        entry = ListCacheEntry(bytes(response.body), dependencies, snapshot_number, expires)
        if shared is not None:
            await self._run_in_thread(shared.put, {key: encode_list(snapshot_number, dependencies, entry.body)})
        return entry

    async def _current_snapshot_number(self) -> int:
        """Read the visibility horizon, once for all loads within `SNAPSHOT_REUSE_SECONDS`."""
        now = self._clock()
        if self._snapshot_number is None or now - self._snapshot_read_at >= SNAPSHOT_REUSE_SECONDS:
            with shared_work():
                self._snapshot_number = asyncio.ensure_future(self._run_in_thread(self._read_snapshot_number))
            self._snapshot_read_at = now
        snapshot_number = self._snapshot_number
        try:
            # A cancelled load must not cancel the read that others share.
            return await asyncio.shield(snapshot_number)
        except MarketError:
            # The next load tries again.
            if self._snapshot_number is snapshot_number:
                self._snapshot_number = None
            raise


def _url_digest(request: Request) -> str:
    """Return a digest of the URL with scheme and host, on which the links in a response depend.

    Clients choose the length of a URL; the digest bounds the memory that a key takes. Starlette's `URL`, which would be
    parsed for it, takes longer than the look-up in the cache.
    """
    scope = request.scope
    host = request.headers.get("host") or str(scope.get("server"))
    parts = (scope.get("scheme", "http"), host, scope.get("root_path", ""), scope["path"])
    return sha256("\0".join(parts).encode() + b"\0" + scope.get("query_string", b"")).hexdigest()
