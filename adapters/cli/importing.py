"""`import`: real input."""

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.failures import ExitCode
from adapters.cli.online_retail.replay import import_online_retail
from adapters.cli.online_retail.report import rendered
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import long_work, output, print_json

RESUMES = "Whole batches were recorded and stay; the same command goes on with the rest."

app = typer.Typer(no_args_is_help=True, help="Bring data in from files.")


@app.command("online-retail")
def online_retail(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The data set as CSV, plain or compressed with gzip.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay the year of a real shop: the UCI Online Retail data set.

    Stock codes become products of one seller, customers accounts, invoices settled orders, returns refunds. Prints
    what became of every line. A second run changes nothing, a run after an interrupted one goes on with it. Exits
    with 1 if the lines do not add up.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened, long_work(RESUMES, quiet=as_json) as progress:
        report = import_online_retail(opened.market, file, progress)
    if as_json:
        print_json(report.as_json())
    else:
        output().print(rendered(report))
    if not report.reconciles:
        raise typer.Exit(ExitCode.PROBLEM)
