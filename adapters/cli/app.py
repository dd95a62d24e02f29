"""The command `scalecommerce`: all of its commands, one module per group."""

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from adapters.cli import (
    administration,
    evaluating,
    events,
    exporting,
    importing,
    pricing_log,
    repricing,
    running,
    seeding,
    simulating,
    statistics,
    stock,
    torturing,
    webhooks,
)
from adapters.cli.commands import Commands, RenamedOptions

HERE = "Run it"
DATA = "Data"
CARE = "Care"
PRICES = "Prices"

app = typer.Typer(
    cls=Commands,
    name="scalecommerce",
    no_args_is_help=True,
    # Rich's tracebacks would print local variables, secrets among them.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Exit codes: 0 done; 1 the work found or met a problem; 2 wrong usage; 3 a server cannot be reached;"
    " 130 interrupted by Ctrl-C.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scalecommerce {version_of('scalecommerce')}")
        raise typer.Exit


@app.callback()
def scalecommerce(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A marketplace engine: sellers list, buyers order under load, prices follow demand.

    Begin with `scalecommerce up --demo`.
    """


app.command(rich_help_panel=HERE)(running.up)
app.command(rich_help_panel=HERE)(running.serve)
app.command(rich_help_panel=HERE)(running.worker)
app.command(rich_help_panel=HERE)(running.beat)
app.command(rich_help_panel=DATA)(seeding.seed)
app.add_typer(importing.app, name="import", rich_help_panel=DATA)
app.add_typer(exporting.app, name="export", rich_help_panel=DATA)
app.command(rich_help_panel=CARE)(administration.migrate)
app.command(rich_help_panel=CARE)(administration.settings)
app.command(rich_help_panel=CARE)(administration.createsuperuser)
app.add_typer(repricing.app, name="reprice", rich_help_panel=PRICES)
app.command(rich_help_panel=PRICES)(simulating.simulate)
for command in (pricing_log.explain, pricing_log.runs, pricing_log.policies, pricing_log.stop, pricing_log.resume):
    evaluating.app.command(cls=RenamedOptions)(command)
app.add_typer(evaluating.app, name="pricing", rich_help_panel=PRICES)
app.add_typer(stock.app, name="stock", rich_help_panel=CARE)
app.add_typer(statistics.app, name="statistics", rich_help_panel=CARE)
app.add_typer(events.app, name="events", rich_help_panel=CARE)
app.command(rich_help_panel=CARE)(torturing.torture)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=CARE)
