"""`up`, `serve`, `worker`, `beat`: the commands that run until a signal ends them."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from adapters.cli.runtime import DEFAULT_DATA, Runtime

HostOption: TypeAlias = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all of this machine's.")
]
PortOption: TypeAlias = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 chooses a free one.")
]


def up(  # noqa: PLR0917 - Typer passes them by name
    ctx: typer.Context,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Where everything is kept. Made if it does not exist.")
    ] = DEFAULT_DATA,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="Fill an empty database with a small market, and print log-ins and a curl that places an order.",
        ),
    ] = False,
    traffic: Annotated[
        bool,
        typer.Option(
            "--traffic/--no-traffic",
            help="With --demo: let visitors look and buy, some 35 requests a second, so that prices can learn.",
        ),
    ] = True,
) -> None:
    """Run the whole engine on this machine: PostgreSQL, Redis, migrations, API, worker and beat.

    PostgreSQL and Redis come along; DATABASE_URL and REDIS_URL name servers to use instead. Everything is kept in
    one directory, so two engines need two directories and two ports. Other commands, started in the same directory,
    find the running engine by themselves.

    Ctrl-C or SIGTERM ends requests and tasks in hand, then stops what was started, and nothing else. A second Ctrl-C
    does not wait. After a crash or `kill -9`, the next start recovers.
    """
    runtime: Runtime = ctx.obj
    runtime.up(host=host, port=port, data=data, demo=demo, traffic=traffic)


def serve(
    ctx: typer.Context,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Processes; one per CPU core at most makes sense.")
    ] = 1,
) -> None:
    """Serve the HTTP API, for a deployment with servers of its own.

    Settings come from environment variables; `scalecommerce settings` lists them. The database is brought up to date
    by `scalecommerce migrate`, beforehand. SIGTERM lets requests in flight end, for 20 s at most.
    """
    runtime: Runtime = ctx.obj
    runtime.serve(host=host, port=port, workers=workers)


def worker(ctx: typer.Context) -> None:
    """Run a background worker: it decides orders, expires reservations, writes view counts.

    Any number may run, on any machine. WORKER_CONCURRENCY sets how many processes one has. SIGTERM lets the task in
    hand finish.
    """
    runtime: Runtime = ctx.obj
    runtime.work()


def beat(ctx: typer.Context) -> None:
    """Send the scheduled messages that wake workers up. One per deployment is enough; two do no harm."""
    runtime: Runtime = ctx.obj
    runtime.beat()
