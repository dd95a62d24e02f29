"""`products/api/v1/categories/`: categories of the catalog."""

from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from adapters.http.cache.list_cache import ListResponse
from adapters.http.cache.list_dependencies import NO_PRODUCTS
from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.idempotency_key import build_idempotency_key, response_body
from adapters.http.framework.openapi import CONTENT_ETAG
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.text_fields import ProductName
from adapters.http.resources.products import ROOT as PRODUCTS
from adapters.http.resources.products import TAG
from adapters.http.schemas.products import CategorySchema, to_category_schema
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.category import MAX_MIN_HOLD_DAYS, Category
from scalecommerce_core.domain.identifiers import CategoryId
from scalecommerce_core.services.catalog import AddCategory, RenameCategory
from scalecommerce_core.services.pricing import SetMinHold
from scalecommerce_core.services.results import unwrap_single

ROOT: Final = PRODUCTS + "categories/"


class NewCategory(msgspec.Struct):
    name: ProductName


MinHoldDays = Annotated[
    float,
    msgspec.Meta(
        ge=0,
        le=MAX_MIN_HOLD_DAYS,
        description="Days for which pricing policies keep each price of the category, rounded to seconds; 0: no hold.",
        examples=[1],
    ),
]


class CategoryPatch(msgspec.Struct):
    min_hold_days: MinHoldDays


class CategoryList(msgspec.Struct):
    """All categories; `next` and `previous` are always null."""

    next: None
    previous: None
    results: list[CategorySchema]


class CategoryResource:
    """The categories of the catalog."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market

    @OperationSpec(
        method="GET",
        path=ROOT,
        name="listCategories",
        summary="List all categories",
        responses={
            200: ResponseSpec(CategoryList, "Categories by id.", [CONTENT_ETAG]),
            304: ResponseSpec(None, "The list is unchanged.", [CONTENT_ETAG]),
        },
        tag=TAG,
        conditional=True,
        cached=True,
    )
    async def list_categories(self, _call: Call[None, None]) -> Response:
        categories = await self._dependencies.run_in_thread(self._dependencies.catalog_queries.categories)
        content = CategoryList(None, None, [to_category_schema(category) for category in categories])
        return ListResponse(content, NO_PRODUCTS)

    @OperationSpec(
        method="POST",
        path=ROOT,
        name="addCategory",
        summary="Add a category",
        responses={201: ResponseSpec(CategorySchema, "The category.")},
        tag=TAG,
        access=Access.STAFF,
        scope=Scope.PRODUCTS_WRITE,
        idempotent=True,
    )
    async def add_category(self, call: Call[NewCategory, None]) -> Response:
        command = AddCategory(
            call.identity.account_id,
            call.body.name,
            await build_idempotency_key(call, encode_category),
            call.client_address,
        )
        outcomes = await self._dependencies.run_in_thread(self._market.catalog.add_categories, [command])
        return Response(response_body(outcomes, encode_category), 201, media_type="application/json")

    @OperationSpec(
        method="PATCH",
        path=f"{ROOT}{{id:id}}/",
        name="patchCategory",
        summary="Set the minimum hold of prices in a category",
        description="For staff. Pricing policies of all sellers keep each price of the category for at least this time."
        " Sellers may still change prices by hand.",
        responses={200: ResponseSpec(CategorySchema, "The category.")},
        tag=TAG,
        access=Access.STAFF,
        scope=Scope.PRICING,
    )
    async def patch_category(self, call: Call[CategoryPatch, None]) -> Response:
        by = Actor(call.identity.account_id, call.client_address)
        command = SetMinHold(CategoryId(call.id), call.body.min_hold_days, by)
        outcomes = await self._dependencies.run_in_thread(self._market.pricing.set_min_holds, [command])
        return json_response(to_category_schema(unwrap_single(outcomes)))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}{{id:id}}/rename/",
        name="renameCategory",
        summary="Rename a category",
        description="For staff. The `slug` stays, so that links to the category stay valid.",
        responses={200: ResponseSpec(CategorySchema, "The category.")},
        tag=TAG,
        access=Access.STAFF,
        scope=Scope.PRODUCTS_WRITE,
    )
    async def rename_category(self, call: Call[NewCategory, None]) -> Response:
        by = Actor(call.identity.account_id, call.client_address)
        command = RenameCategory(CategoryId(call.id), call.body.name, by)
        outcomes = await self._dependencies.run_in_thread(self._market.catalog.rename_categories, [command])
        return json_response(to_category_schema(unwrap_single(outcomes)))


def encode_category(category: Category) -> bytes:
    return msgspec.json.encode(to_category_schema(category))
