"""What answering costs at least: one bare Starlette route without middleware, served as `serve` serves the engine."""

import signal
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entrypoints import settings
from entrypoints.gc_tuning import collect_seldom
from entrypoints.processes.parent_death import end_with
from entrypoints.processes.port_reservation import reserved
from entrypoints.serve import serve_on


async def nothing(_request: Request) -> Response:
    return Response(b"{}", media_type="application/json")


def create() -> Starlette:
    app = Starlette(routes=[Route("/nothing/", nothing)])
    collect_seldom()
    return app


if __name__ == "__main__":
    # With the benchmark, be that killed by `kill -9`.
    end_with(int(sys.argv[2]), signal.SIGKILL)
    with reserved("127.0.0.1", int(sys.argv[1])) as address:
        serve_on(settings.load(), address.host, address.port, 1, "bench.reads_load.nothing:create")
