"""The least that an answer can cost: endpoints that do nothing, served as `serve` serves the engine.

`GRANIAN` is a bare ASGI application; `STARLETTE` is one Starlette route without middleware.
"""

import signal
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.embedded.launch import die_with_parent
from entrypoints import settings
from entrypoints.gc_tuning import reduce_gc_frequency
from entrypoints.processes.port_reservation import reserve_port
from entrypoints.serve import serve_on

GRANIAN: Final = "granian"
STARLETTE: Final = "starlette"
PATH: Final = "/nothing/"
_BODY: Final = b"{}"
_HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", b"2")]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def answer_bare(scope: MutableMapping[str, Any], _receive: object, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _BODY})


async def answer_with_starlette(_request: Request) -> Response:
    return Response(_BODY, media_type="application/json")


def create_granian() -> Callable[..., Awaitable[None]]:
    reduce_gc_frequency()
    return answer_bare


def create_starlette() -> Starlette:
    app = Starlette(routes=[Route(PATH, answer_with_starlette)])
    reduce_gc_frequency()
    return app


if __name__ == "__main__":
    name, port, owner = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    die_with_parent(owner, signal.SIGKILL)
    with reserve_port("127.0.0.1", port) as address:
        serve_on(settings.load(), address.host, address.port, 1, f"bench.reads_load.yardstick:create_{name}")
