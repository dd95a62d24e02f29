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
from adapters.http.cache.lru import Bounded, Recurring
from adapters.http.cache.shared_cache import SHARED, SharedCopies, packed, unpacked
from adapters.http.cache.single_flight import InFlightLoad, SingleFlight
from adapters.http.framework.etags import content_etag, is_current
from adapters.http.framework.operation import Call
from scalecommerce_core.domain.errors import MarketError

T = TypeVar("T")
Handler = Callable[[Call[Any, Any]], Awaitable[Response]]
InThread = Callable[..., Awaitable[Any]]

FRESH: Final = {"Cache-Control": "public, no-cache"}
RECURRING: Final = 10_000
STAMP_SECONDS: Final = 0.05
"""So long a horizon is as good as a new one: it vouches for less, never for more."""


class ListCopy:
    __slots__ = ("body", "etag", "expires", "stamp")

    def __init__(self, body: bytes, stamp: int, expires: float) -> None:
        self.body = body
        self.etag = content_etag(body)
        self.stamp = stamp
        self.expires = expires


class ListCopies:
    """Any change may change any list, so a list is shown for as long as nothing at all has changed, and `GRACE_SECONDS`
    more. `in_thread` calls a function in a thread.
    """

    def __init__(
        self,
        horizon: Callable[[], int],
        validity: CacheValidity,
        in_thread: InThread,
        *,
        limit: int,
        seconds: float,
        shared: SharedCopies | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._horizon = horizon
        self._validity = validity
        self._in_thread = in_thread
        self._seconds = seconds
        self._shared = shared
        self._clock = clock
        self._copies: Bounded[str, ListCopy] = Bounded(limit)
        self._flights: SingleFlight[str, ListCopy | Response] = SingleFlight(clock)
        self._loading: set[asyncio.Task[ListCopy | Response]] = set()
        self._recurring: Recurring[str] = Recurring(RECURRING)
        self._stamp: asyncio.Future[int] | None = None
        self._stamped = float("-inf")

    def kept(self, handler: Handler) -> Handler:
        """The handler of a list that is the same for everybody, with its answers kept."""

        async def answer(call: Call[Any, Any]) -> Response:
            found = await self._get(_address(call.request), partial(handler, call))
            if isinstance(found, Response):
                return found
            headers = {"ETag": found.etag, **FRESH}
            if is_current(call.request.headers, found.etag):
                return Response(status_code=304, headers=headers)
            return Response(found.body, headers=headers, media_type="application/json")

        return answer

    def changed_here(self) -> None:
        """Who comes from now on must not be given what was begun before."""
        self._stamped = float("-inf")
        self._flights.detach_all()

    def clear(self) -> None:
        self._copies.clear()
        self._flights.detach_all()

    async def _get(self, address: str, make: Callable[[], Awaitable[Response]]) -> ListCopy | Response:
        if (copy := self._copies.get(address)) is not None and self._holds(copy):
            return copy
        flight = self._flights.find_joinable(address)
        if flight is None:
            flight = self._flights.start(address, self._keep)
            loading = asyncio.ensure_future(self._load(address, make))
            # Goes on when whoever began it goes away, as long as somebody knows of it: the loop does not.
            self._loading.add(loading)
            loading.add_done_callback(partial(self._land, flight))
        return await flight.wait()

    def _land(self, flight: InFlightLoad[str, ListCopy | Response], loading: "asyncio.Task[ListCopy | Response]") -> None:
        self._loading.discard(loading)
        if loading.cancelled():
            flight.cancel()
        elif (error := loading.exception()) is not None:
            flight.set_exception(error)
        else:
            flight.set_result(loading.result())

    def _holds(self, copy: ListCopy) -> bool:
        now = self._clock()
        return self._validity.has_heartbeat(now) and now < copy.expires and self._validity.are_lists_valid(copy.stamp)

    def _keep(self, address: str, found: ListCopy | Response) -> None:
        if isinstance(found, ListCopy) and self._validity.are_lists_valid(found.stamp):
            self._copies.put(address, found, len(found.body))

    async def _load(self, address: str, make: Callable[[], Awaitable[Response]]) -> ListCopy | Response:
        expires = self._clock() + self._seconds
        key = f"list:{address}"
        # Others are asked, and told, only of what recurs.
        shared = self._shared if self._shared is not None and self._recurring.meet(address) else None
        if shared is not None:
            (content,) = await self._in_thread(shared.get, [key])
            theirs = unpacked(content)
            if theirs is not None and theirs.body is not None:
                copy = ListCopy(theirs.body, theirs.stamp, expires - SHARED * self._seconds)
                if self._holds(copy):
                    return copy
        # Before what it vouches for.
        stamp = await self._stamp_now()
        response = await make()
        if response.status_code != 200:
            return response
        copy = ListCopy(bytes(response.body), stamp, expires)
        if shared is not None:
            await self._in_thread(shared.put, {key: packed(stamp, 0, "", copy.body)})
        return copy

    async def _stamp_now(self) -> int:
        """One read for all that load within a moment; who is cancelled meanwhile takes nobody else along."""
        now = self._clock()
        if self._stamp is None or now - self._stamped >= STAMP_SECONDS:
            self._stamp, self._stamped = asyncio.ensure_future(self._in_thread(self._horizon)), now
        stamp = self._stamp
        try:
            return await asyncio.shield(stamp)
        except MarketError:
            # Who comes later may have more luck.
            if self._stamp is stamp:
                self._stamp = None
            raise


def _address(request: Request) -> str:
    """All that an answer is made of, scheme and host as well; a digest, since it is as long as strangers want."""
    return sha256(str(request.url).encode()).hexdigest()
