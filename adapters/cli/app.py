"""The command `scalecommerce` with all subcommands."""

from importlib.metadata import version as version_of
from typing import Annotated, Any, Final

import typer

from adapters.cli.commands import Commands
from adapters.cli.lazy_command import MARKUP_MODE, LazyCommand

RUN_PANEL: Final = "Run"
DATA_PANEL: Final = "Data"
OPERATE_PANEL: Final = "Operate"
PRICING_PANEL: Final = "Pricing"

COMMANDS: Final = (
    LazyCommand(
        "up",
        "adapters.cli.running:up",
        RUN_PANEL,
        "Run the whole engine on this machine: PostgreSQL, Redis, migrations, API, worker and beat.",
    ),
    LazyCommand(
        "serve",
        "adapters.cli.running:serve",
        RUN_PANEL,
        "Serve the HTTP API, for deployments with their own PostgreSQL and Redis servers.",
    ),
    LazyCommand(
        "worker",
        "adapters.cli.running:worker",
        RUN_PANEL,
        "Run a background worker: decides orders, expires reservations, sends webhooks and e-mails, changes prices.",
    ),
    LazyCommand(
        "beat",
        "adapters.cli.running:beat",
        RUN_PANEL,
        "Send the scheduled messages that trigger background tasks. One per deployment is enough; two are harmless.",
    ),
    LazyCommand(
        "seed",
        "adapters.cli.seeding:seed",
        DATA_PANEL,
        "Fill the database with generated users, categories, products and orders.",
    ),
    LazyCommand(
        "migrate",
        "adapters.cli.administration:migrate",
        OPERATE_PANEL,
        "Migrate the database to this release.",
    ),
    LazyCommand(
        "settings",
        "adapters.cli.administration:settings",
        OPERATE_PANEL,
        "List the environment variables that `serve`, `worker`, `beat` and `up` read.",
    ),
    LazyCommand(
        "createsuperuser",
        "adapters.cli.administration:createsuperuser",
        OPERATE_PANEL,
        "Create a staff account, which can view and edit every user's data.",
    ),
    LazyCommand(
        "attention",
        "adapters.cli.attention:attention",
        OPERATE_PANEL,
        "List what needs a person, with causes and the commands that help.",
    ),
    LazyCommand(
        "backlogs",
        "adapters.cli.attention:backlogs",
        OPERATE_PANEL,
        "Count what waits for background work, and say since when.",
    ),
    LazyCommand(
        "simulate",
        "adapters.cli.simulating:simulate",
        PRICING_PANEL,
        "Simulate pricing strategies in markets with known demand.",
    ),
    LazyCommand(
        "torture",
        "adapters.cli.torturing:torture",
        OPERATE_PANEL,
        "Kill the engine's processes while it processes orders, then check that no data were lost or duplicated.",
    ),
    LazyCommand("import", "adapters.cli.importing:app", DATA_PANEL, "Import data from files."),
    LazyCommand("export", "adapters.cli.exporting:app", DATA_PANEL, "Export data to files."),
    LazyCommand(
        "orders",
        "adapters.cli.orders:app",
        OPERATE_PANEL,
        "Find orders of all accounts, requeue parked, cancel unpaid and archive settled ones.",
    ),
    LazyCommand("products", "adapters.cli.products:app", OPERATE_PANEL, "List the products of all sellers."),
    LazyCommand(
        "categories",
        "adapters.cli.categories:app",
        OPERATE_PANEL,
        "List and rename the categories of the catalog.",
    ),
    LazyCommand("payments", "adapters.cli.attention:payments", OPERATE_PANEL, "Retry payments and refunds."),
    LazyCommand("emails", "adapters.cli.attention:emails", OPERATE_PANEL, "Retry delayed e-mails."),
    LazyCommand(
        "users",
        "adapters.cli.users:app",
        OPERATE_PANEL,
        "List accounts, decide who has access, export and delete data.",
    ),
    LazyCommand(
        "reprice",
        "adapters.cli.repricing:app",
        PRICING_PANEL,
        "Run the active pricing policies: change prices, and explain each change.",
    ),
    LazyCommand("pricing", "adapters.cli.pricing:app", PRICING_PANEL, "Inspect, stop and evaluate pricing."),
    LazyCommand("promotions", "adapters.cli.promotions:app", PRICING_PANEL, "Show and end announced sales."),
    LazyCommand("stock", "adapters.cli.stock:app", OPERATE_PANEL, "Audit the stock, and see how long it lasts."),
    LazyCommand(
        "statistics",
        "adapters.cli.statistics:app",
        OPERATE_PANEL,
        "Show the sales of a seller, and audit the statistics.",
    ),
    LazyCommand("events", "adapters.cli.events:app", OPERATE_PANEL, "Read the event feed."),
    LazyCommand(
        "audit",
        "adapters.cli.audit:app",
        OPERATE_PANEL,
        "The log of what staff and operators did with things of others.",
    ),
    LazyCommand(
        "security",
        "adapters.cli.security:app",
        OPERATE_PANEL,
        "Security events, encryption of stored secrets.",
    ),
    LazyCommand("webhooks", "adapters.cli.webhooks:app", OPERATE_PANEL, "Inspect and repeat outgoing webhooks."),
)
"""All commands, in the order of their help. Each summary is the first paragraph of the command's own help."""


class _AllCommands(Commands):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": {command.name: command for command in COMMANDS}})


app = typer.Typer(
    cls=_AllCommands,
    name="scalecommerce",
    no_args_is_help=True,
    # Tracebacks of Rich print local variables, including secrets.
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP_MODE,
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
