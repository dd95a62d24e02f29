"""`torture`: self-test that kills the engine's processes under load and then checks invariants."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from adapters.cli.failures import ExitCode
from adapters.cli.options import JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line, stderr_console
from adapters.cli.torture_report import (
    TortureOptions,
    TortureProgress,
    TortureReport,
    as_json,
    fail_points_sentence,
    settling_sentence,
    show_tables,
)

T = TypeVar("T")

KILLS: Final = 240
QUICK_KILLS: Final = 14
SECONDS: Final = 3_600.0
"""Upper limit of the duration; kills follow every few seconds."""
QUICK_SECONDS: Final = 12.0


def torture(
    ctx: typer.Context,
    *,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Seed of the plan: which processes are killed, and what each client does."),
    ] = None,
    kills: Annotated[
        int | None,
        typer.Option("--kills", min=0, help=f"End the load after N kills (default: {KILLS}).", show_default=False),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="End the load after this many seconds.", show_default=False)
    ] = None,
    buyers: Annotated[int | None, typer.Option("--buyers", min=1, max=200, help="Number of concurrent buyers.")] = None,
    products: Annotated[
        int | None,
        typer.Option("--products", min=4, max=2_000, help="Number of products; every fourth has little stock."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"Short test: {QUICK_KILLS} kills within {QUICK_SECONDS:.0f} s.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Use this new or empty directory, and keep it. Default: a temporary directory, which is kept if an"
            " invariant is broken.",
            show_default=False,
        ),
    ] = None,
    as_json_: JsonOption = False,
) -> None:
    """Kill the engine's processes while it processes orders, then check that no data were lost or duplicated.

    The test starts its own PostgreSQL, Redis, two API processes, a worker and a beat. DATABASE_URL and REDIS_URL are
    ignored; all other settings apply. Buyers and sellers order, pay, cancel, refund, reprice and restock over HTTP, and
    pricing policies change prices every other second, while processes are killed by `kill -9`, singly and several at
    once. After all work has completed, SQL queries compare the database with the responses that clients received.

    Ctrl-C ends the load and runs the checks; a second one ends at once. Exits with 1 if an invariant is broken.

    The seed repeats the plan (which process is killed after which pause, what each client does next), but not the exact
    times, because the scheduling of real processes cannot be repeated.
    """
    runtime: Runtime = ctx.obj
    options = TortureOptions(
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        kills=_or_default(kills, QUICK_KILLS if quick else KILLS),
        seconds=_or_default(seconds, QUICK_SECONDS if quick else SECONDS),
        buyers=_or_default(buyers, 8 if quick else 20),
        products=_or_default(products, 12 if quick else 40),
        webhooks=not quick,
        data=data,
    )
    with _progress(options, quiet=as_json_) as on_progress:
        report = runtime.torture(options, on_progress)
    if as_json_:
        print_json(as_json(report))
    else:
        _show(report)
    if not report.holds:
        raise typer.Exit(ExitCode.PROBLEM)
    if report.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _or_default(given: T | None, default: T) -> T:
    return default if given is None else given


def _show(report: TortureReport) -> None:
    show_tables(report)
    print_line(settling_sentence(report.settling))
    print_line(fail_points_sentence(report))
    if report.holds:
        print_line("All invariants hold.")
    else:
        print_line(
            f"An invariant is broken. To repeat the plan: scalecommerce torture --seed {report.options.seed}"
            f" --kills {report.options.kills} --seconds {report.options.seconds:g}"
            f" --buyers {report.options.buyers} --products {report.options.products}"
        )
    if report.kept is not None:
        print_line(f"Data and logs: {report.kept}")


@contextmanager
def _progress(options: TortureOptions, *, quiet: bool) -> Iterator[Callable[[TortureProgress], None]]:
    console = stderr_console()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("kills, {task.fields[orders]:,} orders acknowledged,"),
        TimeElapsedColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task("Starting", total=options.kills, orders=0)

        def update(progress: TortureProgress) -> None:
            bar.update(task, description=progress.phase, completed=progress.kills, orders=progress.orders)

        yield update
