"""`GET products/api/v1/`: search the catalog, with filters, facets, sorting and pages."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.cache.list_cache import ListResponse
from adapters.http.cache.list_dependencies import search_dependencies
from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.money_fields import Amount, convert_amounts
from adapters.http.framework.openapi import CONTENT_ETAG
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec
from adapters.http.framework.pagination import PageQuery
from adapters.http.framework.problems import invalid_fields
from adapters.http.framework.text_fields import Words
from adapters.http.resources.products import ROOT, TAG
from adapters.http.schemas.products import ProductSchema, to_product_schema
from scalecommerce_core.domain.identifiers import AccountId, CategoryId
from scalecommerce_core.domain.money import Money, decimal_text
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.text import BRAND_LENGTH, NAME_LENGTH, normal_line
from scalecommerce_core.queries import Facet, FacetValue, ProductFilter, SortOrder

MAX_CHOICES: Final = 50

CategoryChoice = Annotated[
    str, msgspec.Meta(max_length=NAME_LENGTH, description="Id or slug.", examples=["home_appliances"])
]
SellerChoice = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1, description="Id of an account.", examples=[1])]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Choices = msgspec.Meta(max_length=MAX_CHOICES)
BrandChoice = Annotated[str, msgspec.Meta(max_length=BRAND_LENGTH, examples=["Ridgeway"])]


class SearchQuery(PageQuery, kw_only=True, frozen=True):
    search: Annotated[
        Words | None,
        msgspec.Meta(
            description='Words in name, brand or description. `"a phrase"` matches adjacent words, `-word` excludes;'
            " typos are tolerated.",
            examples=["toaster -robust"],
        ),
    ] = None
    category: Annotated[
        list[CategoryChoice], Choices, msgspec.Meta(description="Products of any of these categories.")
    ] = msgspec.field(default_factory=list)
    brand: Annotated[list[BrandChoice], Choices, msgspec.Meta(description="Products of any of these brands.")] = (
        msgspec.field(default_factory=list)
    )
    seller: SellerChoice | None = None
    price_min: Annotated[
        Amount | None,
        msgspec.Meta(
            description="The lowest price, inclusive, in the market's currency; products in others are left out."
        ),
    ] = None
    price_max: Annotated[
        Amount | None,
        msgspec.Meta(
            description="The highest price, inclusive, in the market's currency; products in others are left out."
        ),
    ] = None
    in_stock: Annotated[
        bool | None, msgspec.Meta(description="true: only products with available stock; false: only products without.")
    ] = None
    created_after: Annotated[
        Moment | None, msgspec.Meta(description="Created after this time.", examples=["2026-01-01T00:00:00Z"])
    ] = None
    created_before: Annotated[
        Moment | None, msgspec.Meta(description="Created before this time.", examples=["2027-01-01T00:00:00Z"])
    ] = None
    ordering: Annotated[
        SortOrder | None, msgspec.Meta(description="By default `relevance` with `search`, otherwise `-created_at`.")
    ] = None
    facets: Annotated[
        list[Facet],
        msgspec.Meta(max_length=len(Facet), description="Add counts of all matching products by these properties."),
    ] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        check_ranges(
            ("price_min", self.price_min, "price_max", self.price_max),
            ("created_after", self.created_after, "created_before", self.created_before),
        )


class FacetSchema(msgspec.Struct):
    """A filter value with its count: `value` for the parameter of the facet's name, or `price_min` and `price_max`."""

    label: str
    count: int
    value: str | UnsetType = UNSET
    price_min: str | UnsetType = UNSET
    price_max: str | UnsetType | None = UNSET


class ProductPage(msgspec.Struct):
    """`total` is estimated from statistics and facet counts from a sample, unless marked as exact."""

    next: str | None
    previous: str | None
    results: list[ProductSchema]
    total: int
    total_is_exact: bool
    did_you_mean: str | UnsetType = UNSET
    facets: dict[Facet, list[FacetSchema]] | UnsetType = UNSET
    facets_are_exact: bool | UnsetType = UNSET


class SearchResource:
    """The product search."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market
        self._queries = dependencies.catalog_queries

    @OperationSpec(
        method="GET",
        path=ROOT,
        name="searchProducts",
        summary="Search and list active products",
        responses={
            200: ResponseSpec(ProductPage, "A page of products.", [CONTENT_ETAG]),
            304: ResponseSpec(None, "The page is unchanged.", [CONTENT_ETAG]),
        },
        tag=TAG,
        conditional=True,
        access=Access.PUBLIC,
        cached=True,
    )
    async def search_products(self, call: Call[None, SearchQuery]) -> Response:
        query = call.query
        category_ids = await self._category_ids(query.category) if query.category else {}
        product_filter = _build_filter(query, self._market.currency)
        page_request = self._dependencies.paginator.parse_request(call.request, query)
        reading = self._dependencies.run_in_thread(self._queries.search, product_filter, page_request)
        if query.facets:
            page, facet_counts = await asyncio.gather(
                reading, self._dependencies.run_in_thread(self._queries.facets, product_filter, query.facets)
            )
        else:
            page, facet_counts = await reading, None
        to_schema = partial(to_product_schema, seller_email=self._dependencies.seller_email_public)
        page_schema = self._dependencies.paginator.to_schema(call.request, query, page, to_schema)
        answer = ProductPage(page_schema.next, page_schema.previous, page_schema.results, page.total, page.is_exact)
        if page.did_you_mean is not None:
            answer.did_you_mean = page.did_you_mean
        if facet_counts is not None:
            answer.facets = {
                facet: [_to_facet_schema(facet, each, self._market.currency) for each in values]
                for facet, values in facet_counts.values.items()
            }
            answer.facets_are_exact = facet_counts.is_exact
        has_cursor = page_request.before is not None or page_request.after is not None
        dependencies = search_dependencies(product_filter, category_ids, page, query.facets, has_cursor=has_cursor)
        return ListResponse(answer, dependencies)

    async def _category_ids(self, choices: list[str]) -> Mapping[str, CategoryId]:
        """The ids of categories by id and by slug; refuse unknown `choices`."""
        known = {
            name: each.id
            for each in await self._dependencies.run_in_thread(self._queries.categories)
            for name in (str(each.id), each.slug)
        }
        if unknown := [choice for choice in choices if normal_line(choice) not in known]:
            raise invalid_fields({"category": [f"There is no category {unknown[0]!r}."]})
        return known


def _build_filter(query: SearchQuery, currency: str) -> ProductFilter:
    prices = convert_amounts(currency, {"price_min": query.price_min, "price_max": query.price_max})
    search = query.search if query.search is not None and normal_line(query.search) else None
    ordering = query.ordering or (SortOrder.CREATED_DESC if search is None else SortOrder.RELEVANCE)
    return ProductFilter(
        search=search,
        categories=tuple(query.category),
        brands=tuple(query.brand),
        seller=None if query.seller is None else AccountId(query.seller),
        price_min=_minor(prices["price_min"]),
        price_max=_minor(prices["price_max"]),
        in_stock=query.in_stock,
        created_after=query.created_after,
        created_before=query.created_before,
        sort_order=ordering,
    )


def _minor(price: Money | None) -> int | None:
    return None if price is None else price.minor


def _to_facet_schema(facet: Facet, found: FacetValue, currency: str) -> FacetSchema:
    if facet is not Facet.PRICE:
        return FacetSchema(found.label, found.count, value=str(found.value))
    # A filter includes both bounds; a bucket excludes its upper bound.
    highest = None if found.upper is None else decimal_text(found.upper - 1, currency)
    lowest = decimal_text(int(found.value), currency)
    return FacetSchema(found.label, found.count, price_min=lowest, price_max=highest)
