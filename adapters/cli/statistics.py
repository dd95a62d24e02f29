"""`statistics`: check rollups against their sources, and rebuild them."""

from typing import Annotated

import typer
from attrs import asdict

from adapters.cli.failures import ExitCode
from adapters.cli.options import DataOption, JsonOption
from adapters.cli.options import seller as seller_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import on_interrupt, print_json, print_line
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table

SHOWN = 100

app = typer.Typer(no_args_is_help=True, help="Audit the statistics.")


@app.command()
def verify(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check that statistics equal orders, refunds and products.

    Events that are not aggregated yet (those of a few seconds) are left out, so the check may run at any time. Exits
    with 1 and a table of the first 100 differences if there are any.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        differing = opened.market.queries.statistics_discrepancies(SHOWN)
    if as_json:
        print_json({"clean": not differing, "discrepancies": [asdict(each) for each in differing]})
    elif differing:
        print_table(
            columns(
                "rollup", "key", "figure", "stored", "expected", "difference",
                numbers=("stored", "expected", "difference"),
            ),
            [
                [
                    each.rollup, each.key, each.figure, f"{each.stored:,}", f"{each.expected:,}",
                    f"{each.stored - each.expected:+,}",
                ]
                for each in differing
            ],
            title=f"{len(differing)}{' or more' if len(differing) == SHOWN else ''} figures differ from their source",
        )  # fmt: skip
        print_line("`scalecommerce statistics rebuild` rebuilds them.")
    else:
        print_line("Clean: statistics equal orders, refunds and products.")
    if differing:
        raise typer.Exit(ExitCode.PROBLEM)


@app.command()
def rebuild(
    ctx: typer.Context,
    seller: Annotated[str | None, seller_option("Rebuild only this seller's statistics.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild statistics from orders, refunds and products.

    Safe while the engine runs: events in the meantime are counted once, and new views are counted afterwards. Views
    and times out of stock are kept, because they have no other source.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        account = None if seller is None else find_account(opened.market, seller)
        with on_interrupt("Statistics are unchanged."):
            opened.market.statistics.rebuild(account)
        with on_interrupt("Statistics are rebuilt; workers will add the events since then."):
            opened.market.statistics.catch_up()
    if as_json:
        print_json({"rebuilt": True, "seller": account})
    else:
        print_line(f"The statistics of {f'seller {seller}' if seller else 'all sellers'} are rebuilt.")
