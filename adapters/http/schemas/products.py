"""Schemas of products, categories, price histories and seller statistics."""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from adapters.http.framework.etags import EntityTag, view_etag
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.currencies import MINOR_PER_UNIT
from scalecommerce_core.domain.money import Money, decimal_text
from scalecommerce_core.domain.price_history import Reduction
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.queries import AccountView, PriceHistory, PriceInterval, ProductView, SellerStats
from scalecommerce_core.services.catalog import ProductWithStock
from scalecommerce_core.services.sessions import Identity


class CategorySchema(msgspec.Struct):
    """`min_hold_days` is the least number of days for which pricing policies keep a price of the category."""

    id: int
    name: str
    slug: str
    min_hold_days: float


class CategoryRefSchema(msgspec.Struct):
    id: int
    name: str


class SellerSchema(msgspec.Struct):
    """`display_name` is the public name. `email` is for the seller and staff, and for everybody with the setting
    `SELLER_EMAIL_PUBLIC`.
    """

    id: int
    display_name: str
    first_name: str
    last_name: str
    email: str | UnsetType = UNSET


class PromotionInForceSchema(msgspec.Struct):
    """An announced sale that is in force. `prior_price` is the lowest price of the 30 days before its start, which an
    announced reduction must state; null if the price is not below it, so that no reduction may be announced.
    """

    name: str
    starts_at: datetime
    ends_at: datetime
    prior_price: str | None


class ProductSchema(msgspec.Struct):
    """`stock` is the available stock; `max_per_buyer` limits the units of one buyer, null: no limit. `promotion` is the
    one in force, null if there is none.

    Only the seller and staff receive `sku`, `cost`, `min_price`, `max_price`, `stock_until` (the stock must last until
    then) and `competitor_price` (the lowest one known, observed at `competitor_price_at`).
    """

    id: int
    name: str
    brand: str
    price: str
    currency: str
    description: str
    category: CategoryRefSchema
    seller: SellerSchema
    stock: int
    is_active: bool
    created_at: datetime
    count_viewed: int
    max_per_buyer: int | None = None
    promotion: PromotionInForceSchema | None = None
    sku: str | UnsetType | None = UNSET
    cost: str | UnsetType | None = UNSET
    min_price: str | UnsetType | None = UNSET
    max_price: str | UnsetType | None = UNSET
    stock_until: datetime | UnsetType | None = UNSET
    competitor_price: str | UnsetType | None = UNSET
    competitor_price_at: datetime | UnsetType | None = UNSET


class ProductListSchema(msgspec.Struct):
    results: list[ProductSchema]


class PriceIntervalSchema(msgspec.Struct):
    """`valid_to` is null for the price in force.

    `is_withdrawn`: orders cannot use the price any more, because the seller withdrew it as a mistake (then
    `withdrawn_at` and `withdrawn_by` are set) or because a pricing run was rolled back. Only the seller and staff
    receive `withdrawal_reason`.
    """

    price: str
    valid_from: datetime
    valid_to: datetime | None
    cause: PriceCause
    is_withdrawn: bool = False
    withdrawn_at: datetime | None = None
    withdrawn_by: Literal["seller", "staff"] | None = None
    withdrawal_reason: str | UnsetType = UNSET


class ReductionSchema(msgspec.Struct):
    """The prior prices that a seller may state when announcing a reduction (Directive 98/6/EC, article 6a).

    `prior_price` is the lowest price of the 30 days before `applied_at`, the start of the price in force; it does not
    change while the reduction lasts. `first_prior_price` is the prior price of the first of successive reductions, to
    which progressive reductions may refer in some member states; null if it is not above the price in force.
    """

    applied_at: datetime
    prior_price: str
    first_applied_at: datetime
    first_prior_price: str | None


class PriceHistorySchema(msgspec.Struct):
    """`lowest_price_30d` includes the price in force at the start of the 30 days (Directive 98/6/EC, article 6a).

    `reduction` is null unless the price in force is below its prior price.
    """

    product: int
    currency: str
    lowest_price_30d: str
    reduction: ReductionSchema | None
    intervals: list[PriceIntervalSchema]


class TopProductSchema(msgspec.Struct):
    id: int
    name: str
    units_sold: int
    revenue: str


class SellerStatsSchema(msgspec.Struct):
    """`totat_sold` is `total_revenue` as a number, with the spelling of version 1. Both are after refunds."""

    total_products: int
    active_products: int
    total_views: int
    avg_views: float
    total_revenue: str
    totat_sold: float
    currency: str
    units_sold: int
    orders: int
    conversion_rate: float
    top_products: list[TopProductSchema]


def may_see_private_fields(view: ProductView, identity: Identity | None) -> bool:
    """Whether the caller is the seller of the product or staff."""
    return identity is not None and (identity.is_staff or identity.account_id == view.seller.id)


def to_product_schema(
    view: ProductView, identity: Identity | None = None, *, seller_email: bool = False
) -> ProductSchema:
    """The product as the caller may see it; `seller_email` includes the e-mail address of the seller for everybody."""
    seller = view.seller
    product = ProductSchema(
        id=view.id,
        name=view.name,
        brand=view.brand,
        price=view.price.text,
        currency=view.price.currency,
        description=view.description,
        category=CategoryRefSchema(view.category.id, view.category.name),
        seller=SellerSchema(seller.id, seller.public_name, seller.first_name, seller.last_name),
        stock=view.stock,
        is_active=view.is_active,
        created_at=view.created_at,
        count_viewed=view.count_viewed,
        max_per_buyer=view.max_per_buyer,
        promotion=_to_promotion_schema(view),
    )
    is_private = may_see_private_fields(view, identity)
    if seller_email or is_private:
        product.seller.email = seller.email
    if is_private:
        product.sku = view.sku
        product.cost = _money_text(view.cost)
        product.min_price = _money_text(view.min_price)
        product.max_price = _money_text(view.max_price)
        product.stock_until = view.stock_until
        product.competitor_price = _money_text(view.competitor_price)
        product.competitor_price_at = view.competitor_price_at
    return product


def _to_promotion_schema(view: ProductView) -> PromotionInForceSchema | None:
    promotion = view.promotion
    if promotion is None:
        return None
    is_reduced = promotion.prior_price.currency == view.price.currency and view.price < promotion.prior_price
    prior_price = promotion.prior_price.text if is_reduced else None
    return PromotionInForceSchema(promotion.name, promotion.starts_at, promotion.ends_at, prior_price)


def product_etag(version: int, product: ProductSchema) -> str:
    """The entity tag of a product as one caller sees it.

    It identifies the version, the price (which pricing runs change without a new version), the promotion in force, the
    names of seller and category, and whether private fields are included. For the seller and staff it also contains the
    stock, so that an edit with If-Match is compared with the stock that the client has read. Tags of other callers omit
    the stock, which would change them with every sale. The view count is never part of the tag.
    """
    seller, is_private = product.seller, product.sku is not UNSET
    # The text has all decimals of the currency, so the digits are the minor units; `minor_units` takes 2 µs.
    edition = EntityTag(version, int(product.price.replace(".", "")), product.stock if is_private else None)
    email = "" if seller.email is UNSET else seller.email
    names = [seller.display_name, seller.first_name, seller.last_name, email, product.category.name]
    if (promotion := product.promotion) is not None:
        names += [promotion.name, promotion.starts_at.isoformat(), promotion.ends_at.isoformat()]
    return view_etag(edition, product.currency, "all" if is_private else "", *names)


def to_created_product_schema(
    shelved: ProductWithStock, category: CategoryRefSchema, seller: AccountView | None
) -> ProductSchema:
    """The product that was just created, as its seller sees it."""
    product = shelved.product
    return ProductSchema(
        id=product.id,
        name=product.name,
        brand=product.brand,
        price=product.price.text,
        currency=product.price.currency,
        description=product.description,
        category=category,
        seller=SellerSchema(seller.id, seller.public_name, seller.first_name, seller.last_name, seller.email)
        if seller is not None
        else SellerSchema(product.seller_id, "", "", "", ""),
        stock=shelved.stock.available,
        is_active=product.is_active,
        created_at=product.created_at,
        count_viewed=0,
        max_per_buyer=product.max_per_buyer,
        sku=product.sku,
        cost=_money_text(product.cost),
        min_price=_money_text(product.min_price),
        max_price=_money_text(product.max_price),
        stock_until=product.stock_until,
        competitor_price=_money_text(product.competitor_price),
        competitor_price_at=product.competitor_price_at,
    )


def to_category_schema(category: Category) -> CategorySchema:
    return CategorySchema(category.id, category.name, category.slug, category.min_hold_days)


def _to_reduction_schema(reduction: Reduction) -> ReductionSchema:
    return ReductionSchema(
        applied_at=reduction.applied_at,
        prior_price=reduction.prior_price.text,
        first_applied_at=reduction.first_applied_at,
        first_prior_price=_money_text(reduction.first_prior_price),
    )


def _to_interval_schema(interval: PriceInterval, view: ProductView, identity: Identity | None) -> PriceIntervalSchema:
    schema = PriceIntervalSchema(
        interval.price.text, interval.valid_from, interval.valid_to, interval.cause, interval.is_withdrawn
    )
    if (withdrawal := interval.withdrawal) is not None:
        schema.withdrawn_at = withdrawal.at
        schema.withdrawn_by = "seller" if withdrawal.by == view.seller.id else "staff"
        if may_see_private_fields(view, identity):
            schema.withdrawal_reason = withdrawal.reason
    return schema


def to_price_history_schema(
    view: ProductView, history: PriceHistory, identity: Identity | None = None
) -> PriceHistorySchema:
    return PriceHistorySchema(
        product=view.id,
        currency=history.lowest_price_30d.currency,
        lowest_price_30d=history.lowest_price_30d.text,
        reduction=None if history.reduction is None else _to_reduction_schema(history.reduction),
        intervals=[_to_interval_schema(each, view, identity) for each in history.intervals],
    )


def to_seller_stats_schema(stats: SellerStats) -> SellerStatsSchema:
    return SellerStatsSchema(
        total_products=stats.total_products,
        active_products=stats.active_products,
        total_views=stats.total_views,
        avg_views=stats.avg_views,
        total_revenue=decimal_text(stats.revenue, stats.currency),
        totat_sold=stats.revenue / MINOR_PER_UNIT[stats.currency],
        currency=stats.currency,
        units_sold=stats.units_sold,
        orders=stats.orders,
        conversion_rate=stats.conversion_rate,
        top_products=[
            TopProductSchema(top.id, top.name, top.units_sold, decimal_text(top.revenue, stats.currency))
            for top in stats.top_products
        ],
    )


def _money_text(money: Money | None) -> str | None:
    return None if money is None else money.text
