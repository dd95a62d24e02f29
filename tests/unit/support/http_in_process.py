"""An HTTP client that calls an ASGI application in the caller's thread, on an event loop of the client.

The TestClient of Starlette uses a second thread with seven switches per request, which would take most of the time of a
short test.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
from starlette.applications import Starlette
from starlette.types import Message, Scope

T = TypeVar("T")


class InProcess(httpx2.BaseTransport):
    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._lifespan = app.router.lifespan_context(app)

    def start(self) -> None:
        self._run(self._lifespan.__aenter__())

    def stop(self) -> None:
        self._run(self._lifespan.__aexit__(None, None, None))
        self._loop.close()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._run(self._answer(request))

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.SyncByteStream)
        chunks = iter(request.stream)
        answered: list[Message] = []

        async def receive() -> Message:
            chunk = next(chunks, None)
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

        async def send(message: Message) -> None:
            answered.append(message)

        await self._app(_scope(request), receive, send)
        start, *parts = answered
        content = b"".join(part.get("body", b"") for part in parts)
        return httpx2.Response(start["status"], headers=start["headers"], content=content)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


def _scope(request: httpx2.Request) -> Scope:
    raw_path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("testclient", 50_000),
        "server": (request.url.host, 80),
    }


@contextmanager
def calling(app: Starlette) -> Iterator[httpx2.Client]:
    """A client of the application, whose life span is that of the context."""
    transport = InProcess(app)
    transport.start()
    try:
        yield httpx2.Client(transport=transport, base_url="http://testserver")
    finally:
        transport.stop()
