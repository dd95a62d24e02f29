"""`reprice`: running the sellers' pricing policies."""

from typing import Annotated, Any

import typer
from rich.table import Table

from adapters.cli.options import DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import long_work, output, print_json
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.pricing.stock_cover import Decision
from scalecommerce_core.services.pricing import RepricingRun

SHOWN = 50

KEPT = "The prices of finished batches are in force and in the history; run it again to go on with the others."
NOTHING_KEPT = "A dry run changes nothing."


def reprice(
    ctx: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide and explain, but change nothing.", show_default=False)
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the active pricing policies move prices, and say why each one moves.

    The policy keeps as many days of stock as its seller wants: what sells out sooner gets dearer, what would lie
    longer gets cheaper, by 5 % at most, within the seller's bounds. Each change is written to the price history.
    Products without a policy keep their prices, and so do those that the seller priced lately.
    """
    runtime: Runtime = ctx.obj
    with (
        runtime.open(data) as opened,
        long_work(NOTHING_KEPT if dry_run else KEPT, quiet=as_json) as progress,
    ):
        looked_at = 0

        def count(products: int) -> None:
            nonlocal looked_at
            looked_at += products
            progress("products", looked_at, None)

        run = opened.market.pricing.reprice(dry_run=dry_run, progress=count)
    if as_json:
        print_json(_document(run))
    else:
        _print(run)


def _document(run: RepricingRun) -> dict[str, Any]:
    return {
        "dry_run": run.dry_run,
        "looked_at": run.looked_at,
        "moved": len(run.moves),
        "moves": [
            {
                "product": move.product_id,
                "old": decimal_text(move.old.minor),
                "new": decimal_text(move.new.minor),
                "currency": move.new.currency,
                "reason": move.reason.value,
                "sentence": move.sentence,
            }
            for move in run.moves
        ],
    }


def _print(run: RepricingRun) -> None:
    if run.moves:
        table = Table("product", "old", "new", "change", "why")
        for column in table.columns[:4]:
            column.justify = "right"
        for move in sorted(run.moves, key=lambda move: -abs(_change(move)))[:SHOWN]:
            why = f"{move.reason.value}: {move.sentence}"
            table.add_row(str(move.product_id), str(move.old), str(move.new), f"{_change(move):+.1%}", why)
        output().print(table)
    shown = min(SHOWN, len(run.moves))
    verb = "would move" if run.dry_run else "moved"
    sentence = f"{len(run.moves):,} of {run.looked_at:,} prices under a policy {verb}"
    output().print(
        sentence + (f"; the {shown} that {verb} most are shown, --json has all." if shown < len(run.moves) else ".")
    )


def _change(move: Decision) -> float:
    return move.new.minor / move.old.minor - 1
