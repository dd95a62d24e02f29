"""Lists that many ask for, with their facets: whole answers by their address."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from adapters.http.cache.invalidation import CacheValidity
from adapters.http.cache.lru import AdmissionFilter, LruCache
from adapters.http.cache.shared_cache import SHARED_TTL_FRACTION, SharedCache, decode_entry, encode_entry
from adapters.http.cache.single_flight import InFlightLoad, SingleFlight
from adapters.http.framework.etags import content_etag, is_current
from adapters.http.framework.operation import Call
from scalecommerce_core.domain.errors import MarketError

T = TypeVar("T")
Handler = Callable[[Call[Any, Any]], Awaitable[Response]]
RunInThread = Callable[..., Awaitable[Any]]

REVALIDATE_HEADERS: Final = {"Cache-Control": "public, no-cache"}
ADMISSION_KEYS: Final = 10_000
SNAPSHOT_REUSE_SECONDS: Final = 0.05
"""So long a horizon is as good as a new one: it vouches for less, never for more."""


class ListCacheEntry:
    __slots__ = ("body", "etag", "expires", "snapshot_xid")

    def __init__(self, body: bytes, snapshot_xid: int, expires: float) -> None:
        self.body = body
        self.etag = content_etag(body)
        self.snapshot_xid = snapshot_xid
        self.expires = expires


class ListCache:
    """Any change may change any list, so a list is shown for as long as nothing at all has changed, and `GRACE_SECONDS`
    more. `in_thread` calls a function in a thread.
    """

    def __init__(
        self,
        read_snapshot_xid: Callable[[], int],
        validity: CacheValidity,
        run_in_thread: RunInThread,
        *,
        limit: int,
        ttl_seconds: float,
        shared: SharedCache | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_snapshot_xid = read_snapshot_xid
        self._validity = validity
        self._run_in_thread = run_in_thread
        self._ttl_seconds = ttl_seconds
        self._shared = shared
        self._clock = clock
        self._entries: LruCache[str, ListCacheEntry] = LruCache(limit)
        self._single_flight: SingleFlight[str, ListCacheEntry | Response] = SingleFlight(clock)
        self._loading: set[asyncio.Task[ListCacheEntry | Response]] = set()
        self._admission: AdmissionFilter[str] = AdmissionFilter(ADMISSION_KEYS)
        self._snapshot_xid: asyncio.Future[int] | None = None
        self._snapshot_read_at = float("-inf")

    def cached(self, handler: Handler) -> Handler:
        """The handler of a list that is the same for everybody, with its answers kept."""

        async def answer(call: Call[Any, Any]) -> Response:
            found = await self._get(_address(call.request), partial(handler, call))
            if isinstance(found, Response):
                return found
            headers = {"ETag": found.etag, **REVALIDATE_HEADERS}
            if is_current(call.request.headers, found.etag):
                return Response(status_code=304, headers=headers)
            return Response(found.body, headers=headers, media_type="application/json")

        return answer

    def on_local_change(self) -> None:
        """Who comes from now on must not be given what was begun before."""
        self._snapshot_read_at = float("-inf")
        self._single_flight.detach_all()

    def clear(self) -> None:
        self._entries.clear()
        self._single_flight.detach_all()

    async def _get(self, address: str, make: Callable[[], Awaitable[Response]]) -> ListCacheEntry | Response:
        if (copy := self._entries.get(address)) is not None and self._is_valid(copy):
            return copy
        flight = self._single_flight.find_joinable(address)
        if flight is None:
            flight = self._single_flight.start(address, self._store)
            loading = asyncio.ensure_future(self._load(address, make))
            # Goes on when whoever began it goes away, as long as somebody knows of it: the loop does not.
            self._loading.add(loading)
            loading.add_done_callback(partial(self._complete, flight))
        return await flight.wait()

    def _complete(
        self, flight: InFlightLoad[str, ListCacheEntry | Response], loading: "asyncio.Task[ListCacheEntry | Response]"
    ) -> None:
        self._loading.discard(loading)
        if loading.cancelled():
            flight.cancel()
        elif (error := loading.exception()) is not None:
            flight.set_exception(error)
        else:
            flight.set_result(loading.result())

    def _is_valid(self, copy: ListCacheEntry) -> bool:
        now = self._clock()
        return (
            self._validity.has_heartbeat(now)
            and now < copy.expires
            and self._validity.are_lists_valid(copy.snapshot_xid)
        )

    def _store(self, address: str, found: ListCacheEntry | Response) -> None:
        if isinstance(found, ListCacheEntry) and self._validity.are_lists_valid(found.snapshot_xid):
            self._entries.put(address, found, len(found.body))

    async def _load(self, address: str, make: Callable[[], Awaitable[Response]]) -> ListCacheEntry | Response:
        expires = self._clock() + self._ttl_seconds
        key = f"list:{address}"
        # Others are asked, and told, only of what recurs.
        shared = self._shared if self._shared is not None and self._admission.seen_before(address) else None
        if shared is not None:
            (content,) = await self._run_in_thread(shared.get, [key])
            theirs = decode_entry(content)
            if theirs is not None and theirs.body is not None:
                copy = ListCacheEntry(
                    theirs.body, theirs.snapshot_xid, expires - SHARED_TTL_FRACTION * self._ttl_seconds
                )
                if self._is_valid(copy):
                    return copy
        # Before what it vouches for.
        snapshot_xid = await self._current_snapshot_xid()
        response = await make()
        if response.status_code != 200:
            return response
        copy = ListCacheEntry(bytes(response.body), snapshot_xid, expires)
        if shared is not None:
            await self._run_in_thread(shared.put, {key: encode_entry(snapshot_xid, 0, "", copy.body)})
        return copy

    async def _current_snapshot_xid(self) -> int:
        """One read for all that load within a moment; who is cancelled meanwhile takes nobody else along."""
        now = self._clock()
        if self._snapshot_xid is None or now - self._snapshot_read_at >= SNAPSHOT_REUSE_SECONDS:
            self._snapshot_xid, self._snapshot_read_at = (
                asyncio.ensure_future(self._run_in_thread(self._read_snapshot_xid)),
                now,
            )
        snapshot_xid = self._snapshot_xid
        try:
            return await asyncio.shield(snapshot_xid)
        except MarketError:
            # Who comes later may have more luck.
            if self._snapshot_xid is snapshot_xid:
                self._snapshot_xid = None
            raise


def _address(request: Request) -> str:
    """All that an answer is made of, scheme and host as well; a digest, since it is as long as strangers want."""
    return sha256(str(request.url).encode()).hexdigest()
