"""`stock verify`: proving that the figures of stock equal their sources, and mending those that do not."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer
from attrs import asdict
from rich.table import Table

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import interactive, output, print_json
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.queries import MovementTotal, StockDiscrepancy
from scalecommerce_core.services.catalog import StockRepair
from scalecommerce_core.services.market import Market

SHOWN = 100
BATCH: Final = 500
"""Products that are locked at once."""

MEANING: Final[Mapping[str, str]] = {
    "on_hand": "stock differs from the sum of its ledger",
    "reserved": "reserved units differ from the lines of PENDING orders",
    "sold": "the ledger's sale differs from the line that was paid",
    "returned": "the ledger's return differs from the refunds with restock",
}
REPAIRED: Final = frozenset({"on_hand", "reserved"})
"""Figures that follow from others. Entries of an order that the ledger lacks or has too many of, a person judges."""

app = typer.Typer(no_args_is_help=True, help="Audit the stock.")


@app.command()
def verify(
    ctx: typer.Context,
    data: DataOption = None,
    as_json: JsonOption = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what follows from other figures, after a question.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing before a repair.")] = False,
) -> None:
    """Prove that stock equals its ledger and the open orders, and the ledger the orders that were paid and refunded.

    With --repair, reserved units are counted anew from the open orders, and what the ledger lacks of the stock on hand
    is booked as a correction, safely beside orders in flight. Exits with 1 and a table of the first 100 differences
    if any are left.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        differing = market.queries.discrepancies(None if repair else SHOWN)
        repaired: list[StockRepair] = []
        if repair and (wrong := sorted({each.product_id for each in differing if each.figure in REPAIRED})):
            if not yes:
                _ask(differing, len(wrong), as_json=as_json)
            repaired = _repair(market, wrong)
            differing = market.queries.discrepancies(SHOWN)
        totals = market.queries.totals()
    if as_json:
        document = {"clean": not differing, "discrepancies": _rows(differing), "movements": _rows(totals)}
        print_json(document | ({"repaired": _rows(repaired)} if repair else {}))
    else:
        if repaired:
            output().print(_repairs(repaired[:SHOWN]))
            output().print(f"{len(repaired):,} products repaired.")
        if differing:
            output().print(_table(differing[:SHOWN]))
        else:
            output().print(_movements(totals))
            output().print("Clean: on hand equals the ledger, reserved equals the open orders, for every product.")
    if differing:
        raise typer.Exit(ExitCode.PROBLEM)


def _ask(differing: Sequence[StockDiscrepancy], count: int, *, as_json: bool) -> None:
    if as_json or not interactive():
        raise CommandFailed("A repair is asked for at a terminal only: give --yes.", ExitCode.USAGE)
    output().print(_table(differing[:SHOWN]))
    if not typer.confirm(f"Repair the stock of {count:,} products?", err=True):
        raise typer.Exit(ExitCode.PROBLEM)


def _repair(market: Market, products: Sequence[ProductId]) -> list[StockRepair]:
    repaired: list[StockRepair] = []
    for start in range(0, len(products), BATCH):
        outcomes = market.catalog.repair_stock(products[start : start + BATCH])
        repaired += [outcome for outcome in outcomes if outcome is not None]
    return repaired


def _rows(
    values: Sequence[StockDiscrepancy] | Sequence[MovementTotal] | Sequence[StockRepair],
) -> list[dict[str, object]]:
    return [asdict(value) for value in values]


def _table(differing: Sequence[StockDiscrepancy]) -> Table:
    table = Table("product", "figure", "stored", "expected", "difference", "what is wrong")
    for column in (table.columns[0], *table.columns[2:5]):
        column.justify = "right"
    table.title = f"{len(differing)}{' or more' if len(differing) == SHOWN else ''} figures differ from their source"
    for row in differing:
        order = "" if row.order_id is None else f"order {row.order_id}: "
        table.add_row(
            str(row.product_id), row.figure, f"{row.stored:,}", f"{row.expected:,}",
            f"{row.stored - row.expected:+,}", order + MEANING[row.figure],
        )  # fmt: skip
    return table


def _repairs(repaired: Sequence[StockRepair]) -> Table:
    table = Table("product", "correction in the ledger", "reserved before", "reserved now")
    for column in table.columns:
        column.justify = "right"
    for row in repaired:
        table.add_row(
            str(row.product_id), f"{row.correction:+,}" if row.correction else "", f"{row.reserved_before:,}",
            f"{row.reserved:,}",
        )  # fmt: skip
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
