"""`stock verify`: proving that the figures of stock equal their sources."""

from collections.abc import Sequence

import typer
from attrs import asdict
from rich.table import Table

from adapters.cli.failures import ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import output, print_json
from scalecommerce_core.queries import MovementTotal, StockDiscrepancy

SHOWN = 100

app = typer.Typer(no_args_is_help=True, help="Audit the stock.")


@app.command()
def verify(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Prove that stock on hand equals the sum of its ledger, and reserved stock the open orders.

    Exits with 1 and a table of the first 100 differences if there are any.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        differing = opened.market.queries.discrepancies(SHOWN)
        totals = opened.market.queries.totals()
    if as_json:
        print_json({"clean": not differing, "discrepancies": _rows(differing), "movements": _rows(totals)})
    elif differing:
        output().print(_table(differing))
    else:
        output().print(_movements(totals))
        output().print("Clean: on hand equals the ledger, reserved equals the open orders, for every product.")
    if differing:
        raise typer.Exit(ExitCode.PROBLEM)


def _rows(values: Sequence[StockDiscrepancy] | Sequence[MovementTotal]) -> list[dict[str, object]]:
    return [asdict(value) for value in values]


def _table(differing: Sequence[StockDiscrepancy]) -> Table:
    table = Table("product", "figure", "stored", "expected", "difference")
    for column in (table.columns[0], *table.columns[2:]):
        column.justify = "right"
    table.title = f"{len(differing)}{' or more' if len(differing) == SHOWN else ''} figures differ from their source"
    for row in differing:
        table.add_row(
            str(row.product_id), row.figure, f"{row.stored:,}", f"{row.expected:,}", f"{row.stored - row.expected:+,}"
        )
    return table


def _movements(totals: Sequence[MovementTotal]) -> Table:
    table = Table("movement", "entries", "units")
    for column in table.columns[1:]:
        column.justify = "right"
    for total in totals:
        table.add_row(total.kind, f"{total.entries:,}", f"{total.units:+,}")
    table.add_section()
    table.add_row("all", f"{sum(t.entries for t in totals):,}", f"{sum(t.units for t in totals):+,}")
    return table
