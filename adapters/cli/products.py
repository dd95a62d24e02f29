"""`products`: list the products of all sellers, on sale or not."""

from typing import Annotated

import typer
from attrs import asdict

from adapters.cli.options import DataOption, JsonOption
from adapters.cli.options import limit as limit_option
from adapters.cli.options import seller as seller_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json
from adapters.cli.sellers import find_account
from adapters.cli.tables import columns, print_table
from scalecommerce_core.queries import AllProductsFilter, PageRequest

app = typer.Typer(no_args_is_help=True, help="List the products of all sellers.")


@app.callback()
def products() -> None:
    """List the products of all sellers."""


@app.command("list")
def list_products(  # noqa: PLR0917 - options
    ctx: typer.Context,
    on_sale: Annotated[
        bool | None,
        typer.Option(
            "--on-sale/--off-sale",
            help="Select products on sale, or those that are paused, withdrawn or of deactivated sellers.",
            show_default=False,
        ),
    ] = None,
    seller: Annotated[str | None, seller_option("Select products of this seller.")] = None,
    limit: Annotated[int, limit_option()] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List products of all sellers, newest first, and say for each whether it is on sale, or why it is not."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        criteria = AllProductsFilter(on_sale, None if seller is None else find_account(market, seller))
        found = market.queries.all_products(PageRequest(limit), criteria).rows
    if as_json:
        print_json([asdict(view) for view in found])
        return
    print_table(
        columns("id", "seller", "name", "price", "stock", "state", numbers=("id", "seller", "stock"), prose=("name",)),
        [
            [
                view.product.id,
                view.product.seller.id,
                view.product.name,
                str(view.product.price),
                view.product.stock,
                view.state.value.replace("_", " "),
            ]
            for view in found
        ],
        nothing="There are no such products.",
    )
