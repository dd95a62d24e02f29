"""`categories`: list and rename the categories of the catalog."""

from typing import Annotated

import typer

from adapters.cli.options import MAX_INTEGER, DataOption, JsonOption
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line
from adapters.cli.tables import columns, print_table
from scalecommerce_core.domain.identifiers import CategoryId
from scalecommerce_core.services.catalog import RenameCategory
from scalecommerce_core.services.results import unwrap_single

app = typer.Typer(no_args_is_help=True, help="List and rename the categories of the catalog.")


@app.command("list")
def list_categories(ctx: typer.Context, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List all categories with their numbers, names and slugs, which stand for them in links."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.queries.categories()
    if as_json:
        print_json([{"category": each.id, "name": each.name, "slug": each.slug} for each in found])
        return
    print_table(
        columns("category", "name", "slug", numbers=("category",)),
        [[each.id, each.name, each.slug] for each in found],
        nothing="There are no categories.",
    )


@app.command()
def rename(
    ctx: typer.Context,
    category: Annotated[
        int, typer.Argument(min=1, max=MAX_INTEGER, help="Number of the category.", show_default=False)
    ],
    name: Annotated[str, typer.Argument(help="The new name.", show_default=False)],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rename a category; its slug stays, so that links to the category stay valid."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        renamed = unwrap_single(opened.market.catalog.rename_categories([RenameCategory(CategoryId(category), name)]))
    if as_json:
        print_json({"category": renamed.id, "name": renamed.name, "slug": renamed.slug})
        return
    print_line(f"Category {renamed.id} is now {renamed.name}.")
