"""The command `scalecommerce` with all subcommands."""

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from adapters.cli import (
    administration,
    attention,
    audit,
    categories,
    evaluating,
    events,
    experiments,
    exporting,
    importing,
    orders,
    pricing_log,
    products,
    promotions,
    repricing,
    running,
    security,
    seeding,
    simulating,
    statistics,
    stock,
    torturing,
    users,
    webhooks,
)
from adapters.cli.commands import Commands, RenamedOptions

RUN_PANEL = "Run"
DATA_PANEL = "Data"
OPERATE_PANEL = "Operate"
PRICING_PANEL = "Pricing"

app = typer.Typer(
    cls=Commands,
    name="scalecommerce",
    no_args_is_help=True,
    # Tracebacks of Rich print local variables, including secrets.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Exit codes: 0 success; 1 a problem was found or occurred; 2 wrong usage; 3 a server cannot be reached;"
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
    """A marketplace engine: product listings, orders under high load, and prices that adapt to demand.

    Start with `scalecommerce up --demo`.
    """


app.command(rich_help_panel=RUN_PANEL)(running.up)
app.command(rich_help_panel=RUN_PANEL)(running.serve)
app.command(rich_help_panel=RUN_PANEL)(running.worker)
app.command(rich_help_panel=RUN_PANEL)(running.beat)
app.command(rich_help_panel=DATA_PANEL)(seeding.seed)
app.add_typer(importing.app, name="import", rich_help_panel=DATA_PANEL)
app.add_typer(exporting.app, name="export", rich_help_panel=DATA_PANEL)
app.command(rich_help_panel=OPERATE_PANEL)(administration.migrate)
app.command(rich_help_panel=OPERATE_PANEL)(administration.settings)
app.command(rich_help_panel=OPERATE_PANEL)(administration.createsuperuser)
app.command(rich_help_panel=OPERATE_PANEL)(attention.attention)
app.command(rich_help_panel=OPERATE_PANEL)(attention.backlogs)
app.add_typer(orders.app, name="orders", rich_help_panel=OPERATE_PANEL)
app.add_typer(products.app, name="products", rich_help_panel=OPERATE_PANEL)
app.add_typer(categories.app, name="categories", rich_help_panel=OPERATE_PANEL)
app.add_typer(attention.payments, name="payments", rich_help_panel=OPERATE_PANEL)
app.add_typer(attention.emails, name="emails", rich_help_panel=OPERATE_PANEL)
app.add_typer(users.app, name="users", rich_help_panel=OPERATE_PANEL)
app.add_typer(repricing.app, name="reprice", rich_help_panel=PRICING_PANEL)
app.command(rich_help_panel=PRICING_PANEL)(simulating.simulate)
for command in (
    pricing_log.explain,
    pricing_log.runs,
    pricing_log.policies,
    pricing_log.stop,
    pricing_log.resume,
    pricing_log.approve,
    pricing_log.decline,
    pricing_log.min_hold,
    pricing_log.withdraw_price,
):
    evaluating.app.command(cls=RenamedOptions)(command)
evaluating.app.add_typer(experiments.app, name="experiment")
app.add_typer(evaluating.app, name="pricing", rich_help_panel=PRICING_PANEL)
app.add_typer(promotions.app, name="promotions", rich_help_panel=PRICING_PANEL)
app.add_typer(stock.app, name="stock", rich_help_panel=OPERATE_PANEL)
app.add_typer(statistics.app, name="statistics", rich_help_panel=OPERATE_PANEL)
app.add_typer(events.app, name="events", rich_help_panel=OPERATE_PANEL)
app.command(rich_help_panel=OPERATE_PANEL)(torturing.torture)
app.add_typer(audit.app, name="audit", rich_help_panel=OPERATE_PANEL)
app.add_typer(security.app, name="security", rich_help_panel=OPERATE_PANEL)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=OPERATE_PANEL)
