"""`/live/`: one stream of Server-Sent Events per page.

    GET /live/?product=1&product=2&order=3&run=4&figures=1

Events (the last of those that are sent together has the state of all watched objects as its id):

- `product`: `{"id", "available", "text", "amount", "currency"}`; `text` is the price in the reader's language. A
  product that buyers do not see has no price
- `order` and `run`: `{"id", "status"}` of an order or a pricing run
- `figures`: statistics may have changed; at most one in `FIGURES_SECONDS`

A stream begins with the present state. A browser that connects again sends the id of the last event that it got, and
gets the state only if it differs.
"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final

import msgspec
from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.browser_sessions import BrowserSessions
from adapters.web.framework.endpoint import Api, create_call
from adapters.web.framework.languages import load
from adapters.web.framework.page import Features
from adapters.web.live.hub import Item, LiveHub, LiveOrder, LiveProduct, Subscription
from scalecommerce_core.domain.client_network import network_key
from scalecommerce_core.domain.errors import MarketError
from scalecommerce_core.domain.identifiers import OrderId, ProductId, RunId
from scalecommerce_core.domain.money import decimal_text

MAX_PRODUCTS: Final = 100
"""Products that one stream may watch."""
MAX_ORDERS: Final = 20
MAX_RUNS: Final = 1
"""Pricing runs that one stream may watch: each is read once a second."""
HEARTBEAT_SECONDS: Final = 15.0
"""A comment is sent when nothing else was, so that proxies and browsers notice a broken connection."""
MAX_AGE_SECONDS: Final = 600.0
"""A stream ends after 5 to 10 minutes, so that access is checked again; the browser reconnects."""
RECONNECT_MILLISECONDS: Final = 2_000
FIGURES_SECONDS: Final = 10.0
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    # Proxies such as nginx would collect the events.
    "X-Accel-Buffering": "no",
}


@frozen
class StreamLimits:
    """Open streams that one API process has at most; further ones are answered by 503."""

    total: int = 5_000
    per_client: int = 50
    """From one IPv4 address or one /64 network of IPv6."""


DEFAULT_STREAM_LIMITS: Final = StreamLimits()


class LiveStreams:
    """The ASGI application of `/live/`."""

    def __init__(
        self, hub: LiveHub, api: Api, sessions: BrowserSessions, features: Features, limits: StreamLimits
    ) -> None:
        self._hub = hub
        self._limits = limits
        self._context = api, sessions, features
        self._open = 0
        self._clients: Counter[str] = Counter()

    @property
    def open_streams(self) -> int:
        return self._open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        client = network_key(request.client.host if request.client else "")
        if self._hub.is_closed or self._open >= self._limits.total or self._clients[client] >= self._limits.per_client:
            await Response(status_code=503, headers={"Retry-After": "5"})(scope, receive, send)
            return
        # A request counts from its beginning: many at once would pass the limits while their access is checked.
        self._open += 1
        self._clients[client] += 1
        try:
            response = await self._respond(request)
            # Also ends the stream of a reader that reads so slowly that an event waits to be sent.
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(MAX_AGE_SECONDS + HEARTBEAT_SECONDS):
                        await response(scope, receive, send)
            finally:
                if isinstance(response, StreamingResponse) and isinstance(response.body_iterator, AsyncGenerator):
                    # A cancelled response leaves its events suspended, which would stay subscribed.
                    await response.body_iterator.aclose()
        finally:
            self._open -= 1
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    async def _respond(self, request: Request) -> Response:
        if request.method != "GET":
            return Response(status_code=405, headers={"Allow": "GET"})
        products, orders = _ids(request, "product", MAX_PRODUCTS), _ids(request, "order", MAX_ORDERS)
        runs = _ids(request, "run", MAX_RUNS)
        if products is None or orders is None or runs is None:
            return Response("Too many or malformed ids.", 400, media_type="text/plain")
        call = await create_call(request, *self._context)
        try:
            # The API decides who may see an order or a run.
            for order in orders:
                await call.api.get(f"/orders/api/v1/{order}/")
            for run in runs:
                await call.api.get(f"/pricing/api/v1/runs/{run}/")
        except ApiProblem as problem:
            return Response(status_code=problem.status)
        figures = request.query_params.get("figures") == "1" and call.identity is not None
        subscription = Subscription(
            [*map(ProductId, products)],
            [*map(OrderId, orders)],
            [*map(RunId, runs)],
            figures=figures,
            session=None if call.identity is None else call.identity.session_id,
        )
        return StreamingResponse(
            self._events(subscription, call.language.code, request.headers.get("last-event-id", "")),
            headers=dict(HEADERS),
            media_type="text/event-stream",
        )

    async def _events(self, subscription: Subscription, language: str, last_id: str) -> AsyncIterator[bytes]:
        # Before the state is read: a change in between is reported after it.
        self._hub.open(subscription)
        try:
            async for part in _write(self._hub, subscription, language, last_id):
                yield part
        finally:
            self._hub.discard(subscription)


async def _write(hub: LiveHub, subscription: Subscription, language: str, last_id: str) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + MAX_AGE_SECONDS * random.uniform(0.5, 1)  # noqa: S311 - spreads reconnections
    figures_at = loop.time() + FIGURES_SECONDS
    yield b"retry: %d\n\n" % RECONNECT_MILLISECONDS
    state = _State()
    try:
        items = await hub.read(subscription.products, subscription.orders, subscription.runs)
    except MarketError:
        # The browser connects again after `RECONNECT_MILLISECONDS`.
        return
    first = state.encode(items, language)
    if first and state.id != last_id:
        yield first
    while not subscription.is_closed and (left := ends_at - loop.time()) > 0:
        waits_for_figures = subscription.has_new_figures
        timeout = min(left, HEARTBEAT_SECONDS, max(0.0, figures_at - loop.time()) if waits_for_figures else left)
        try:
            async with asyncio.timeout(timeout):
                await subscription.changed.wait()
        except TimeoutError:
            if not waits_for_figures:
                yield b": heartbeat\n\n"
        part = state.encode([item for item in subscription.take() if state.differs(item)], language)
        if subscription.has_new_figures and loop.time() >= figures_at:
            subscription.has_new_figures, figures_at = False, loop.time() + FIGURES_SECONDS
            part += b"event: figures\ndata: {}\n\n"
        if part:
            yield part


class _State:
    """What a stream has reported."""

    def __init__(self) -> None:
        self._items: dict[tuple[type[Item], int], Item] = {}
        self._described: dict[tuple[type[Item], int], bytes] = {}

    @property
    def id(self) -> str:
        """A digest of everything that was reported."""
        return hashlib.blake2b(b"".join(sorted(self._described.values())), digest_size=9).hexdigest()

    def differs(self, item: Item) -> bool:
        return self._items.get((type(item), item.id)) != item

    def encode(self, items: Sequence[Item], language: str) -> bytes:
        """Events to send at once. Only the last one has an id, which then costs one digest, not one for each event."""
        parts = []
        for item in items:
            key, event = (type(item), item.id), _encode(item, language)
            self._items[key], self._described[key] = item, event
            parts.append(event)
        return b"\n".join(parts) + b"id: %s\n\n" % self.id.encode() if parts else b""


@lru_cache(maxsize=10_000)
def _encode(item: Item, language: str) -> bytes:
    """The event without its id. Streams of one language share it."""
    if isinstance(item, LiveProduct):
        document: dict[str, object] = {"id": item.id, "available": item.is_available}
        if item.price is not None:
            amount = decimal_text(item.price, item.currency)
            text = load(language).money(amount, item.currency)
            document |= {"text": text, "amount": amount, "currency": item.currency}
        return b"event: product\ndata: %s\n" % msgspec.json.encode(document)
    name = b"order" if isinstance(item, LiveOrder) else b"run"
    return b"event: %s\ndata: %s\n" % (name, msgspec.json.encode({"id": item.id, "status": item.status.value}))


def _ids(request: Request, name: str, limit: int) -> Sequence[int] | None:
    """The distinct ids of a query parameter; None if there are too many or one is no id."""
    texts = set(request.query_params.getlist(name))
    if len(texts) > limit or not all(text.isascii() and text.isdecimal() and len(text) <= 18 for text in texts):
        return None
    return sorted(map(int, texts))
