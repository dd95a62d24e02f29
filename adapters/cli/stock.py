"""`stock verify` compares stock figures with their sources and repairs them; `stock until` sets a stock horizon; `stock
outlook` shows when stock runs out; `stock movements` lists the ledger of a product.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer
from attrs import asdict

from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.formats import format_time
from adapters.cli.options import MAX_BIGINT, DataOption, JsonOption, moment
from adapters.cli.options import limit as limit_option
from adapters.cli.options import seller as seller_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import interactive, on_interrupt, print_json, print_line
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.queries import LONGEST_OUTLOOK, MovementTotal, PageRequest, StockDiscrepancy
from scalecommerce_core.services.catalog import EditProduct, StockRepair
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.results import unwrap_single

SHOWN = 100
ON_INTERRUPT: Final = "Completed repairs stay. Run the command again for the rest."
BATCH: Final = 500
"""Products locked in one transaction."""

MEANING: Final[Mapping[str, str]] = {
    "on_hand": "stock differs from the sum of its ledger",
    "reserved": "reserved units differ from the lines of PENDING orders",
    "sold": "the ledger's sale differs from the line that was paid",
    "returned": "the ledger's return differs from the refunds with restock",
}
REPAIRED: Final = frozenset({"on_hand", "reserved"})
"""Figures that can be repaired, because they follow from others. Missing or surplus ledger entries of an order need a
person's decision."""

app = typer.Typer(no_args_is_help=True, help="Audit the stock, and see how long it lasts.")


@app.command()
def verify(
    ctx: typer.Context,
    data: DataOption = None,
    as_json: JsonOption = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair figures that follow from others, after a confirmation.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Check that stock equals its ledger and open orders, and that the ledger equals paid and refunded orders.

    With --repair, reserved units are recounted from the open orders, and differences between stock on hand and ledger
    are recorded as corrections. Repairs are safe while orders are processed. Exits with 1 and a table of the first 100
    differences if any remain.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        differing = market.queries.stock_discrepancies(None if repair else SHOWN)
        repaired: list[StockRepair] = []
        if repair and (wrong := sorted({each.product_id for each in differing if each.figure in REPAIRED})):
            if not yes:
                _ask(differing, len(wrong), as_json=as_json)
            with on_interrupt(ON_INTERRUPT):
                repaired = _repair(market, wrong)
            differing = market.queries.stock_discrepancies(SHOWN)
        totals = market.queries.movement_totals()
    if as_json:
        document = {"clean": not differing, "discrepancies": _rows(differing), "movements": _rows(totals)}
        print_json(document | ({"repaired": _rows(repaired)} if repair else {}))
    else:
        if repaired:
            _show_repairs(repaired[:SHOWN])
            print_line(f"{len(repaired):,} products repaired.")
        if differing:
            _show_differing(differing[:SHOWN])
        else:
            _show_movements(totals)
            print_line("Clean: on hand equals the ledger, reserved equals the open orders, for every product.")
    if differing:
        raise typer.Exit(ExitCode.PROBLEM)


@app.command()
def until(
    ctx: typer.Context,
    product: Annotated[int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the product.", show_default=False)],
    *,
    time: Annotated[
        datetime | None, moment("--time", "The stock must last until then; without it, the time is unknown again.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the time until which the stock of a product must last: the end of its season or its next delivery.

    Pricing policies that consider stock count down to it.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.queries.products([ProductId(product)]).get(ProductId(product))
        if found is None:
            raise NotFound("product", product)
        command = EditProduct(found.id, None, {"stock_until": time}, as_staff=True)
        changed = unwrap_single(opened.market.catalog.edit_products([command])).product
    if as_json:
        print_json({"product": product, "stock_until": changed.stock_until})
    elif changed.stock_until is None:
        print_line(f"How long the stock of product {product} must last is unknown now.")
    else:
        print_line(f"The stock of product {product} must last until {format_time(changed.stock_until)}.")


@app.command()
def outlook(
    ctx: typer.Context,
    *,
    seller: Annotated[str, seller_option("The seller whose products are shown.")],
    within: Annotated[
        int,
        typer.Option(min=0, max=LONGEST_OUTLOOK.days, help="Only stock that runs out within N days.", metavar="N"),
    ] = LONGEST_OUTLOOK.days,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Show at most N products.", metavar="N")] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the products of a seller whose stock runs out, the first ones first.

    The rate of sales is that of the last 28 days, without days out of stock. Products that have stock and did not sell
    in that time are left out.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        account, now = find_account(market, seller), market.clock.now()
        page = market.queries.stock_outlook(account, now, PageRequest(limit), within=timedelta(days=within))
    found = page.rows
    if as_json:
        print_json([asdict(each) | {"units_a_day": each.units_a_day, "days_left": each.days_left} for each in found])
        return
    numbers = "product", "available", "reserved", "sold", "a day", "days left"
    print_table(
        columns("product", "name", *numbers[1:], "runs out", numbers=numbers),
        [
            [
                each.id, each.name, f"{each.available:,}", f"{each.reserved:,}", f"{each.sold:,}",
                f"{each.units_a_day:,.2f}", f"{each.days_left:,.1f}",
                now + timedelta(minutes=each.minutes_left) if each.available else "out of stock",
            ]
            for each in found
        ],
        nothing="No stock runs out.",
    )  # fmt: skip
    if page.next is not None:
        print_line(f"The first {limit:,} products are shown; --limit shows more.")


@app.command()
def movements(
    ctx: typer.Context,
    product: Annotated[int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the product.", show_default=False)],
    limit: Annotated[int, limit_option()] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the stock movements of a product, also of a withdrawn one, with the units on hand after each."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.queries.stock_movements(ProductId(product), PageRequest(limit)).rows
    if as_json:
        print_json([asdict(view) for view in found])
        return
    print_table(
        columns("time", "movement", "units", "on hand", "order", numbers=("units", "on hand", "order")),
        [[view.at, view.kind, f"{view.quantity:+,}", f"{view.on_hand:,}", view.order] for view in found],
        nothing=f"Product {product} has no stock movements.",
    )


def _ask(differing: Sequence[StockDiscrepancy], count: int, *, as_json: bool) -> None:
    if as_json or not interactive():
        raise CommandFailed("There is no terminal to confirm the repair: pass --yes.", ExitCode.USAGE)
    _show_differing(differing[:SHOWN])
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


def _show_differing(differing: Sequence[StockDiscrepancy]) -> None:
    print_table(
        columns(
            "product", "figure", "stored", "expected", "difference", "what is wrong",
            numbers=("product", "stored", "expected", "difference"), prose=["what is wrong"],
        ),
        [
            [
                row.product_id, row.figure, f"{row.stored:,}", f"{row.expected:,}", f"{row.stored - row.expected:+,}",
                ("" if row.order_id is None else f"order {row.order_id}: ") + MEANING[row.figure],
            ]
            for row in differing
        ],
        title=f"{len(differing)}{' or more' if len(differing) == SHOWN else ''} figures differ from their source",
    )  # fmt: skip


def _show_repairs(repaired: Sequence[StockRepair]) -> None:
    headings = "product", "correction in the ledger", "reserved before", "reserved now"
    print_table(
        columns(*headings, numbers=headings),
        [
            [
                row.product_id, f"{row.correction:+,}" if row.correction else "", f"{row.reserved_before:,}",
                f"{row.reserved:,}",
            ]
            for row in repaired
        ],
    )  # fmt: skip


def _show_movements(totals: Sequence[MovementTotal]) -> None:
    print_table(
        columns("movement", "entries", "units", numbers=("entries", "units")),
        [[total.kind, f"{total.entries:,}", f"{total.units:+,}"] for total in totals],
        total=["all", f"{sum(t.entries for t in totals):,}", f"{sum(t.units for t in totals):+,}"],
    )
