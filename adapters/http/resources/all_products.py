"""`operations/api/v1/products/`: the products of all sellers, on sale or not, for staff."""

from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.operations import ROOT, TAG
from adapters.http.resources.order_queries import IdNumber, to_id
from adapters.http.schemas.products import ProductSchema, to_product_schema
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import AllProductsFilter, SaleState, StaffProductView
from scalecommerce_core.services.sessions import Identity

PRODUCTS: Final = ROOT + "products/"


class AllProductsQuery(PageQuery, kw_only=True, frozen=True):
    on_sale: Annotated[
        bool | None,
        msgspec.Meta(
            description="true: only products on sale; false: only paused and withdrawn ones and those of deactivated"
            " sellers.",
            examples=[False],
        ),
    ] = None
    seller: Annotated[
        IdNumber | None,
        msgspec.Meta(description="Id of the account that sells the product.", examples=[1]),
    ] = None


class StaffProductSchema(msgspec.Struct):
    """A product, and whether it is on sale: `paused` by its seller or staff, `withdrawn` for good, or of a seller whose
    account is deactivated.
    """

    product: ProductSchema
    state: SaleState
    withdrawn_at: datetime | None


class AllProductsResource:
    """The products of all sellers."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._queries = dependencies.market.queries

    @OperationSpec(
        method="GET",
        path=PRODUCTS,
        name="listAllProducts",
        summary="List the products of all sellers, on sale or not",
        responses={200: ResponseSpec(PageSchema[StaffProductSchema], "Products, newest first.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def list_all_products(self, call: Call[None, AllProductsQuery]) -> Response:
        query = call.query
        criteria = AllProductsFilter(query.on_sale, to_id(AccountId, query.seller))
        page_request = self._dependencies.paginator.parse_request(call.request, query)
        page = await self._dependencies.run_in_thread(self._queries.all_products, page_request, criteria)
        to_schema = partial(_to_schema, identity=call.identity)
        return json_response(self._dependencies.paginator.to_schema(call.request, query, page, to_schema))


def _to_schema(view: StaffProductView, *, identity: Identity) -> StaffProductSchema:
    return StaffProductSchema(to_product_schema(view.product, identity=identity), view.state, view.withdrawn_at)
