"""`promotions`: list promotions, show their prices, and end them."""

from typing import Annotated, Any

import typer

from adapters.cli.formats import format_time
from adapters.cli.options import MAX_BIGINT, DataOption, JsonOption
from adapters.cli.options import limit as limit_option
from adapters.cli.options import seller as seller_option
from adapters.cli.runtime import Runtime
from adapters.cli.screen import print_json, print_line
from adapters.cli.sellers import find_account
from adapters.cli.tables import Cell, columns, print_facts, print_table
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import PromotionId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.promotion import PromotedProduct, Promotion, PromotionStatus
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.promotions import CancelPromotion
from scalecommerce_core.services.results import unwrap_single

PromotionArgument = Annotated[
    int, typer.Argument(min=1, max=MAX_BIGINT, help="Number of the promotion.", show_default=False)
]

app = typer.Typer(no_args_is_help=True, help="Show and end announced sales.")


@app.command("list")
def list_promotions(
    ctx: typer.Context,
    *,
    seller: Annotated[str | None, seller_option("Only promotions of this seller.")] = None,
    limit: Annotated[int, limit_option()] = 20,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List announced sales, newest first, with their times, discounts and numbers of products, also past ones."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        owner = None if seller is None else find_account(opened.market, seller)
        found = opened.market.queries.promotions(owner, PageRequest(limit)).rows
    if as_json:
        print_json([_document(promotion) for promotion in found])
        return
    print_table(
        columns(
            "promotion", "seller", "name", "status", "starts", "ends", "off", "products",
            numbers=("promotion", "seller", "off", "products"),
        ),
        [
            [
                each.id, each.seller_id, each.name, each.status.value, each.starts_at, each.ends_at,
                "" if each.percent is None else f"{each.percent}%", f"{each.products:,}",
            ]
            for each in found
        ],
        nothing="There are no promotions.",
    )  # fmt: skip


@app.command()
def show(
    ctx: typer.Context,
    promotion: PromotionArgument,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Show at most N products, by number.")] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a promotion with its products: the prior price, the promotional price and the price from before."""
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        found = opened.market.queries.promotion(PromotionId(promotion))
        if found is None:
            raise NotFound("promotion", promotion)
        items = opened.market.queries.promoted_products(found.id, PageRequest(limit)).rows
    if as_json:
        print_json({**_document(found), "items": [_item_document(item) for item in items]})
        return
    facts: list[tuple[str, Cell]] = [
        ("name", found.name),
        ("status", found.status.value),
        ("time", f"{format_time(found.starts_at)} to {format_time(found.ends_at)}"),
        ("discount", "by product, or none" if found.percent is None else f"{found.percent}% off the prior price"),
        ("products", f"{found.products:,}"),
    ]
    print_facts(facts, title=f"Promotion {found.id} of seller {found.seller_id}")
    headings = "product", "status", "prior price", "promotion", "before", "note"
    print_table(
        columns(*headings, numbers=("product", *headings[2:5])),
        [
            [
                item.product_id, item.status.value, _text(item.prior_price), _text(item.promoted_price or item.price),
                _text(item.former_price), "" if item.note is None else item.note.value.replace("_", " "),
            ]
            for item in items
        ],
    )  # fmt: skip


@app.command()
def end(ctx: typer.Context, promotion: PromotionArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Cancel a promotion before its start, or end it now: a worker restores the former prices within seconds.

    Prices that were changed during the promotion stay. A promotion that is over stays as it is.
    """
    runtime: Runtime = ctx.obj
    with runtime.open(data) as opened:
        changed = unwrap_single(opened.market.promotions.cancel([CancelPromotion(PromotionId(promotion), owner=None)]))
    if as_json:
        print_json(_document(changed))
    elif changed.status is PromotionStatus.CANCELLED:
        print_line(f"Promotion {changed.id} is cancelled: it does not start.")
    elif changed.status is PromotionStatus.ENDED:
        print_line(f"Promotion {changed.id} is over already.")
    else:
        print_line(f"Promotion {changed.id} ends now. A worker restores the former prices within seconds.")


def _document(promotion: Promotion) -> dict[str, Any]:
    return {
        "id": promotion.id,
        "seller": promotion.seller_id,
        "name": promotion.name,
        "status": promotion.status.value,
        "starts_at": promotion.starts_at,
        "ends_at": promotion.ends_at,
        "percent": promotion.percent,
        "category_id": promotion.category_id,
        "all_products": promotion.is_all,
        "products": promotion.products,
    }


def _item_document(item: PromotedProduct) -> dict[str, Any]:
    return {
        "product": item.product_id,
        "status": item.status.value,
        "currency": item.currency,
        "price": _text(item.price) or None,
        "prior_price": _text(item.prior_price) or None,
        "promoted_price": _text(item.promoted_price) or None,
        "former_price": _text(item.former_price) or None,
        "note": None if item.note is None else item.note.value,
    }


def _text(money: Money | None) -> str:
    return "" if money is None else money.text
