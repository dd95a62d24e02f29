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
from scalecommerce_core.domain.identifiers import CategoryId, PolicyId
from scalecommerce_core.queries import LOW_STOCK, AllProductsFilter, OwnProductsFilter, PageRequest, StockLevel

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


@app.command("own")
def list_own_products(  # noqa: PLR0917 - options
    ctx: typer.Context,
    seller: Annotated[str, seller_option("The seller whose products are listed.")],
    stock: Annotated[
        StockLevel | None,
        typer.Option(
            help=f"Select products without a unit, with 1 to {LOW_STOCK} units, or with at least one.",
            show_default=False,
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Words that the name has, or the SKU.", metavar="WORDS", show_default=False)
    ] = None,
    category: Annotated[
        int | None, typer.Option(min=1, help="Id of a category.", metavar="ID", show_default=False)
    ] = None,
    policy: Annotated[
        int | None,
        typer.Option(min=1, help="Id of the policy that products are assigned to.", metavar="ID", show_default=False),
    ] = None,
    active: Annotated[
        bool | None,
        typer.Option("--active/--paused", help="Select active or paused products.", show_default=False),
    ] = None,
    limit: Annotated[int, limit_option()] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the products of one seller, newest first, as the seller sees them."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        market = opened.market
        criteria = OwnProductsFilter(
            active,
            stock,
            None if category is None else CategoryId(category),
            None if policy is None else PolicyId(policy),
            search,
        )
        found = market.queries.own_products(find_account(market, seller), PageRequest(limit), criteria).rows
    if as_json:
        print_json([asdict(view) for view in found])
        return
    print_table(
        columns("id", "sku", "name", "category", "price", "stock", "state", numbers=("id", "stock"), prose=("name",)),
        [
            [
                view.id, view.sku or "–", view.name, view.category.name, str(view.price), view.stock,
                "active" if view.is_active else "paused",
            ]
            for view in found
        ],
        nothing="There are no such products.",
    )  # fmt: skip
