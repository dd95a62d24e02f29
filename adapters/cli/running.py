"""`up`, `serve`, `worker`, `beat`: commands that run until a signal ends them."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from adapters.cli.runtime import DEFAULT_DATA, Runtime

HostOption: TypeAlias = Annotated[
    str,
    typer.Option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all addresses of this machine."),
]
PortOption: TypeAlias = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 chooses a free one.")
]


def up(  # noqa: PLR0917 - Typer passes them by name
    ctx: typer.Context,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Directory of all data; created if it does not exist.")
    ] = DEFAULT_DATA,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="Fill an empty database with a small market, and print accounts and a curl command to place an order.",
        ),
    ] = False,
    traffic: Annotated[
        bool,
        typer.Option(
            "--traffic/--no-traffic",
            help="With --demo: simulate visitors, to whose purchases prices adapt. About 25 views a second; with"
            " orders and payments, about 35 requests a second.",
        ),
    ] = True,
) -> None:
    """Run the whole engine on this machine: PostgreSQL, Redis, migrations, API, worker and beat.

    PostgreSQL and Redis are included; DATABASE_URL and REDIS_URL name servers to use instead. All data are in one
    directory, so two engines need two directories and two ports. Other commands that are started in the same working
    directory find the running engine.

    Ctrl-C or SIGTERM completes requests and tasks in progress, then stops all processes that this command started. A
    second Ctrl-C stops them at once. After a crash or `kill -9`, the next start recovers.
    """
    runtime: Runtime = ctx.obj
    runtime.up(host=host, port=port, data=data, demo=demo, traffic=traffic)


def serve(
    ctx: typer.Context,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Number of processes, at most one per CPU core.")
    ] = 1,
) -> None:
    """Serve the HTTP API, for deployments with their own PostgreSQL and Redis servers.

    Settings are environment variables; `scalecommerce settings` lists them. Run `scalecommerce migrate` before the
    first start of a release. On SIGTERM, requests in progress have up to 20 s to complete.
    """
    runtime: Runtime = ctx.obj
    runtime.serve(host=host, port=port, workers=workers)


def worker(ctx: typer.Context) -> None:
    """Run a background worker: decides orders, expires reservations, sends webhooks and e-mails, changes prices.

    Any number of workers may run, on any machine. WORKER_CONCURRENCY sets the number of processes of a worker. On
    SIGTERM, the current task is completed.
    """
    runtime: Runtime = ctx.obj
    runtime.work()


def beat(ctx: typer.Context) -> None:
    """Send the scheduled messages that trigger background tasks. One per deployment is enough; two are harmless."""
    runtime: Runtime = ctx.obj
    runtime.beat()
