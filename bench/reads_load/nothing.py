"""What answering costs at least: one bare Starlette route without middleware, served as `serve` serves the engine."""

import signal
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.embedded.launch import die_with_parent
from entrypoints import settings
from entrypoints.gc_tuning import reduce_gc_frequency
from entrypoints.processes.port_reservation import reserve_port
from entrypoints.serve import serve_on


async def nothing(_request: Request) -> Response:
    return Response(b"{}", media_type="application/json")


def create() -> Starlette:
    app = Starlette(routes=[Route("/nothing/", nothing)])
    reduce_gc_frequency()
    return app


if __name__ == "__main__":
    # With the benchmark, be that killed by `kill -9`.
    die_with_parent(int(sys.argv[2]), signal.SIGKILL)
    with reserve_port("127.0.0.1", int(sys.argv[1])) as address:
        serve_on(settings.load(), address.host, address.port, 1, "bench.reads_load.nothing:create")
