"""Schemas of promotions."""

from datetime import datetime

import msgspec

from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.promotion import PromotedProduct, Promotion, PromotionNote, PromotionStatus


class PromotionSchema(msgspec.Struct):
    """`percent` is the percentage off the prior price for products without a price of their own; null: none.

    `category_id` and `all_products` say how the products were chosen; `products` counts them. `version` counts edits.
    """

    id: int
    seller: int
    name: str
    status: PromotionStatus
    starts_at: datetime
    ends_at: datetime
    percent: int | None
    category_id: int | None
    all_products: bool
    products: int
    version: int
    created_at: datetime


class PromotedProductSchema(msgspec.Struct):
    """`price` is the promotional price that the seller chose; null: `percent` of the promotion, or no price.

    The start sets the other fields: `prior_price`, the lowest price of the 30 days before the start; `promoted_price`,
    the price that it put in force, or null with a `note` that says why there is none; and `former_price`, which the end
    restores.
    """

    product: int
    status: PromotionStatus
    currency: str
    price: str | None
    prior_price: str | None
    promoted_price: str | None
    former_price: str | None
    note: PromotionNote | None


def to_promotion_schema(promotion: Promotion) -> PromotionSchema:
    return PromotionSchema(
        id=promotion.id,
        seller=promotion.seller_id,
        name=promotion.name,
        status=promotion.status,
        starts_at=promotion.starts_at,
        ends_at=promotion.ends_at,
        percent=promotion.percent,
        category_id=promotion.category_id,
        all_products=promotion.is_all,
        products=promotion.products,
        version=promotion.version,
        created_at=promotion.created_at,
    )


def to_promoted_product_schema(item: PromotedProduct) -> PromotedProductSchema:
    return PromotedProductSchema(
        product=item.product_id,
        status=item.status,
        currency=item.currency,
        price=_text(item.price),
        prior_price=_text(item.prior_price),
        promoted_price=_text(item.promoted_price),
        former_price=_text(item.former_price),
        note=item.note,
    )


def _text(money: Money | None) -> str | None:
    return None if money is None else money.text
