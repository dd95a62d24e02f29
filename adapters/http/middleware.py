"""What every request and answer goes through, as plain ASGI."""

import re
from secrets import token_hex
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.http.problems import Problem, too_large, unexpected

BODY_LIMIT: Final = 1024 * 1024

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_log = structlog.get_logger("scalecommerce.http")


def request_id(scope: Scope) -> str:
    return str(scope["state"]["request_id"])


class ResponseHeaders:
    """A request id, and the headers that keep browsers and caches from doing too much with an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        name = given if _REQUEST_ID.fullmatch(given) else token_hex(8)
        # A copy: some servers hand out one mapping for all requests of a connection.
        scope["state"] = {**scope.get("state", {}), "request_id": name}
        personal = "authorization" in headers or scope["method"] not in {"GET", "HEAD"}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered["X-Request-ID"] = name
                answered["X-Content-Type-Options"] = "nosniff"
                answered["X-Frame-Options"] = "DENY"
                answered["Referrer-Policy"] = "no-referrer"
                answered["Cross-Origin-Resource-Policy"] = "same-origin"
                answered.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
                if personal:
                    # Above all tokens, but what one account sees is no other's business either.
                    answered.setdefault("Cache-Control", "private, no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class UnexpectedErrors:
    """Whatever nothing else handles: logged under the request's id, answered without a word about it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_noting_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_noting_start)
        except Exception:
            name = request_id(scope)
            _log.exception("unexpected error", request_id=name, method=scope["method"], path=scope["path"])
            if started:
                # Half an answer is out; only breaking the connection tells the client.
                raise
            await unexpected(name).response()(scope, receive, send)


class BodyLimit:
    """Refuses bodies that are too long, by what they say of themselves and by what really comes."""

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            declared = int(Headers(scope=scope).get("content-length", "0"))
        except ValueError:
            problem = Problem(400, "The Content-Length header is no number.", code="malformed")
            await problem.response()(scope, receive, send)
            return
        if declared > self._limit:
            await too_large(self._limit).response()(scope, receive, send)
            return
        received = 0

        async def receive_counting() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._limit:
                    # Raised inside of whoever reads the body, and answered like any other problem.
                    raise too_large(self._limit)
            return message

        await self._app(scope, receive_counting, send)
