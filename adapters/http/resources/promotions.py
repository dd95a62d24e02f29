"""`pricing/api/v1/promotions/`: announced sales of a seller."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.etags import EntityTag, expected_version, is_current, view_etag
from adapters.http.framework.idempotency_key import build_idempotency_key, response_body
from adapters.http.framework.money_fields import Price, convert_amounts
from adapters.http.framework.openapi import ETAG, LOCATION
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response, no_content
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.framework.text_fields import ProductName
from adapters.http.resources.pricing_policies import ROOT, TAG, Category, list_owner
from adapters.http.schemas.promotions import (
    PromotedProductSchema,
    PromotionSchema,
    to_promoted_product_schema,
    to_promotion_schema,
)
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotFound
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, PromotionId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.promotion import (
    MAX_DURATION,
    MAX_PERCENT,
    MIN_PERCENT,
    Promotion,
    PromotionOver,
    PromotionsOverlap,
)
from scalecommerce_core.services.promotions import (
    MAX_OPEN_PROMOTIONS,
    MAX_PROMOTED_PRODUCTS,
    CancelPromotion,
    CreatePromotion,
    EditPromotion,
    TooManyPromotions,
)
from scalecommerce_core.services.results import unwrap_single

PROMOTIONS: Final = ROOT + "promotions/"
PROMOTION: Final = PROMOTIONS + "{id:id}/"
MAX_LISTED: Final = 1_000
"""Products that a request may list."""
MAX_PROMOTION_BYTES: Final = 128 * 1024

StartsAt = Annotated[
    datetime,
    msgspec.Meta(
        tz=True,
        description="The announced start: the prior price is the lowest price of the 30 days before it.",
        examples=["2030-11-25T00:00:00Z"],
    ),
]
EndsAt = Annotated[
    datetime,
    msgspec.Meta(
        tz=True,
        description=f"At most {MAX_DURATION.days} days after the start.",
        examples=["2030-12-02T00:00:00Z"],
    ),
]
Percent = Annotated[
    int,
    msgspec.Meta(
        ge=MIN_PERCENT,
        le=MAX_PERCENT,
        description="Percent off the prior price of each product without a price of its own, rounded down.",
        examples=[20],
    ),
]


OtherSeller = Annotated[
    int,
    msgspec.Meta(ge=1, le=2**63 - 1, description="For staff: the seller, by default the caller.", examples=[1]),
]


class NewPromotedProduct(msgspec.Struct, omit_defaults=True):
    product: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1, examples=[504])]
    price: Annotated[
        Price | None,
        msgspec.Meta(
            description="The promotional price. Without it, `percent` applies; without both, no price changes."
        ),
    ] = None


class NewPromotion(msgspec.Struct, omit_defaults=True):
    """Give one of `products`, `category_id` and `all_products`; the latter two mean the products that exist now."""

    name: ProductName
    ends_at: EndsAt
    starts_at: Annotated[
        StartsAt | None, msgspec.Meta(description="The announced start; without it, the promotion starts now.")
    ] = None
    percent: Percent | None = None
    products: Annotated[list[NewPromotedProduct], msgspec.Meta(min_length=1, max_length=MAX_LISTED)] | None = None
    category_id: Category | None = None
    all_products: bool = False
    seller: OtherSeller | None = None


class PromotionPatch(msgspec.Struct):
    """Omitted fields keep their values. While the promotion runs, only `name` and `ends_at` can be changed; an
    `ends_at` that is not later than now ends it at once.
    """

    name: ProductName | UnsetType = UNSET
    starts_at: StartsAt | UnsetType = UNSET
    ends_at: EndsAt | UnsetType = UNSET


LINKS: Final = [
    Link("readPromotion"),
    Link("listPromotedProducts"),
    Link("patchPromotion"),
    Link("cancelPromotion"),
]


class PromotionResource:
    """Promotions and their products."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market
        self._queries = self._market.queries
        self._promotions = self._market.promotions

    @OperationSpec(
        method="GET",
        path=PROMOTIONS,
        name="listPromotions",
        summary="List the caller's promotions; for staff, all promotions",
        responses={200: ResponseSpec(PageSchema[PromotionSchema], "Promotions, newest first, also past ones.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def list_promotions(self, call: Call[None, PageQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(self._queries.promotions, list_owner(call), page_request)
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, to_promotion_schema)
        )

    @OperationSpec(
        method="POST",
        path=PROMOTIONS,
        name="createPromotion",
        summary="Announce a promotion",
        description="The start puts the promotional prices in force, and the end restores the former ones, except those"
        " that were changed meanwhile; both happen within seconds. Promotional prices must be below the present prices,"
        f" and not below `min_price`. A promotion has at most {MAX_PROMOTED_PRODUCTS:,} products, and a product is in"
        " one promotion at a time (409 `promotions_overlap`). A seller may have"
        f" {MAX_OPEN_PROMOTIONS} promotions that are not over; one more is a 409 `too_many_promotions`.",
        responses={201: ResponseSpec(PromotionSchema, "The promotion.", [LOCATION, ETAG], LINKS)},
        tag=TAG,
        max_body_bytes=MAX_PROMOTION_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        idempotent=True,
        errors=(Forbidden, PromotionsOverlap, TooManyPromotions),
    )
    async def create_promotion(self, call: Call[NewPromotion, None]) -> Response:
        body, identity = call.body, call.identity
        if body.seller not in {None, identity.account_id} and not identity.is_staff:
            raise Forbidden("Only staff may announce promotions of other sellers: leave out seller.")
        command = CreatePromotion(
            identity.account_id,
            body.name,
            body.ends_at,
            body.starts_at,
            body.percent,
            products=None if body.products is None else await self._convert_products(body.products),
            category_id=None if body.category_id is None else CategoryId(body.category_id),
            all_products=body.all_products,
            seller_id=None if body.seller is None else AccountId(body.seller),
            idempotency=await build_idempotency_key(call, encode_promotion),
            address=call.client_address,
        )
        outcomes = await self._dependencies.run_in_thread(self._promotions.create, [command])
        content = response_body(outcomes, encode_promotion)
        made = msgspec.json.decode(content, type=PromotionSchema)
        headers = {"Location": f"{PROMOTIONS}{made.id}/", "ETag": view_etag(EntityTag(made.version), made.status)}
        return Response(content, 201, headers, "application/json")

    async def _convert_products(self, given: list[NewPromotedProduct]) -> dict[ProductId, Money | None]:
        """The promotional price of each product in its own currency; raise `Invalid` for a product named twice."""
        views = await self._dependencies.run_in_thread(
            self._queries.products, {ProductId(item.product) for item in given}
        )
        prices: dict[ProductId, Money | None] = {}
        for place, item in enumerate(given):
            product_id = ProductId(item.product)
            if product_id in prices:
                raise Invalid.field(f"products[{place}].product", "This product is named twice.")
            view = views.get(product_id)
            currency = self._market.currency if view is None else view.price.currency
            name = f"products[{place}].price"
            prices[product_id] = convert_amounts(currency, {name: item.price})[name]
        return prices

    @OperationSpec(
        method="GET",
        path=PROMOTION,
        name="readPromotion",
        summary="Read a promotion; for its seller and staff",
        responses={
            200: ResponseSpec(PromotionSchema, "The promotion.", [ETAG]),
            304: ResponseSpec(None, "The promotion is unchanged.", [ETAG]),
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        conditional=True,
    )
    async def read_promotion(self, call: Call[None, None]) -> Response:
        promotion = await self._load_visible_promotion(call)
        etag = promotion_etag(promotion)
        if is_current(call.request.headers, etag):
            return Response(status_code=304, headers={"ETag": etag})
        return json_response(to_promotion_schema(promotion), headers={"ETag": etag})

    @OperationSpec(
        method="GET",
        path=f"{PROMOTION}products/",
        name="listPromotedProducts",
        summary="List the products of a promotion with their prices",
        responses={200: ResponseSpec(PageSchema[PromotedProductSchema], "Products by id.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
    )
    async def list_promoted_products(self, call: Call[None, PageQuery]) -> Response:
        promotion = await self._load_visible_promotion(call)
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(self._queries.promoted_products, promotion.id, page_request)
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, to_promoted_product_schema)
        )

    @OperationSpec(
        method="PATCH",
        path=PROMOTION,
        name="patchPromotion",
        summary="Move a promotion, end it earlier or extend it",
        responses={200: ResponseSpec(PromotionSchema, "The promotion.", [ETAG])},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        conditional=True,
        errors=(PromotionOver, PromotionsOverlap),
    )
    async def patch_promotion(self, call: Call[PromotionPatch, None]) -> Response:
        changes = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not UNSET}
        command = EditPromotion(
            PromotionId(call.id),
            call.identity.account_id,
            changes,
            expected_version(call.request.headers),
            as_staff=call.identity.is_staff,
            address=call.client_address,
        )
        promotion = unwrap_single(await self._dependencies.run_in_thread(self._promotions.edit, [command]))
        return json_response(to_promotion_schema(promotion), headers={"ETag": promotion_etag(promotion)})

    @OperationSpec(
        method="DELETE",
        path=PROMOTION,
        name="cancelPromotion",
        summary="Cancel a promotion before its start, or end it now",
        description="The promotion stays in the list, because its prices are part of the price history. One that is"
        " over stays as it is.",
        responses={204: ResponseSpec(None, "The promotion is cancelled, or ends within seconds.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRICING,
        conditional=True,
    )
    async def cancel_promotion(self, call: Call[None, None]) -> Response:
        command = CancelPromotion(
            PromotionId(call.id),
            call.identity.account_id,
            expected_version(call.request.headers),
            as_staff=call.identity.is_staff,
            address=call.client_address,
        )
        unwrap_single(await self._dependencies.run_in_thread(self._promotions.cancel, [command]))
        return no_content()

    async def _load_visible_promotion(self, call: Call[Any, Any]) -> Promotion:
        promotion = await self._dependencies.run_in_thread(self._queries.promotion, PromotionId(call.id))
        if promotion is None or (promotion.seller_id != call.identity.account_id and not call.identity.is_staff):
            raise NotFound("promotion", call.id)
        return promotion


def encode_promotion(promotion: Promotion) -> bytes:
    return msgspec.json.encode(to_promotion_schema(promotion))


def promotion_etag(promotion: Promotion) -> str:
    """The entity tag of a promotion; the status is part of it, because it changes without a new version."""
    return view_etag(EntityTag(promotion.version), promotion.status)
