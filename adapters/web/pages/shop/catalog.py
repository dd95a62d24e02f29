"""The search of the shop, and the page of a product."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import Form, FormErrors
from adapters.web.framework.languages import Language
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec
from adapters.web.pages.shop.basket import read_basket
from adapters.web.pages.shop.price_moves import describe_prices
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.queries.products import PRICE_BUCKETS

PRODUCTS: Final = "/products/api/v1/"
PAGE_SIZE: Final = 24
SINGLE_FILTERS: Final = ("search", "seller", "price_min", "price_max", "in_stock", "ordering", "cursor")
REPEATED_FILTERS: Final = ("category", "brand")
SHOWN_VALUES: Final = 8
"""Values of a facet that are shown at once; the others are in a `<details>` element."""
NOTHING_FOUND: Final[Mapping[str, Any]] = {
    "next": None, "previous": None, "results": [], "total": 0, "total_is_exact": True,
}  # fmt: skip


class CatalogPages:
    """Search and products."""

    @PageSpec(method="GET", path="/shop/", access=Access.PUBLIC)
    async def search(self, call: PageCall) -> Response:
        query: dict[str, object] = {**call.query_values(*SINGLE_FILTERS)}
        chosen = {name: [value for value in call.query.getlist(name) if value] for name in REPEATED_FILTERS}
        errors, status = FormErrors(), HTTPStatus.OK
        try:
            found = await call.api.get(
                PRODUCTS, {**query, **chosen, "facets": ["category", "brand", "price"], "page_size": PAGE_SIZE}
            )
        except ApiProblem as problem:
            if problem.status != HTTPStatus.BAD_REQUEST:
                raise
            found, errors, status = NOTHING_FOUND, FormErrors.of(problem), HTTPStatus.BAD_REQUEST
        default_ordering = "relevance" if "search" in query else "-created_at"
        facets = found.get("facets", {})
        call.form = Form.of({**query, **chosen})
        return await call.render(
            "shop/search.html",
            status=status,
            errors=errors,
            basket=read_basket(call.request),
            products=CursorLinks(found),
            found=found,
            facets={name: facet_choices(facets.get(name, ()), chosen[name]) for name in REPEATED_FILTERS},
            prices=facets.get("price", ()),
            price_stops=[decimal_text(bound, call.features.currency) for bound in PRICE_BUCKETS],
            chosen=chosen,
            sort_orders=_sort_orders(call.language, searches="search" in query),
            ordering=query.get("ordering", default_ordering),
            default_ordering=default_ordering,
            is_filtered=any(chosen.values()) or bool(query.keys() - {"search", "ordering", "cursor"}),
        )

    @PageSpec(method="GET", path="/shop/products/{id:int}/", access=Access.PUBLIC)
    async def show_product(self, call: PageCall) -> Response:
        """A visit of this page is a view: the API counts the request for the product, and no other one."""
        product, document = await asyncio.gather(
            read_product(call), call.api.get(f"{PRODUCTS}{call.id}/price-history/")
        )
        now = datetime.now(UTC)
        history = describe_prices(document, now, call.language, product["name"])
        promise = call.features.promise
        held_from = history.in_force_since + promise.least_in_force
        return await call.render(
            "shop/product.html",
            basket=read_basket(call.request),
            product=product,
            history=history,
            seen_at=int(now.timestamp()),
            # A price that was in force for a moment only is not promised.
            held_from=held_from,
            held_until=now + promise.lasts if now >= held_from else None,
            held_units=promise.units,
        )

    @PageSpec(method="GET", path="/shop/products/{id:int}/prices/", access=Access.PUBLIC)
    async def show_prices(self, call: PageCall) -> Response:
        """The price history alone. It is no view, so the page of the product loads it when its price changes."""
        listed, document = await asyncio.gather(
            call.api.get(f"{PRODUCTS}by-id/", {"id": call.id}), call.api.get(f"{PRODUCTS}{call.id}/price-history/")
        )
        (product,) = listed["results"]
        history = describe_prices(document, datetime.now(UTC), call.language, product["name"])
        return await call.render("shop/prices.html", basket=read_basket(call.request), product=product, history=history)


async def read_product(call: PageCall) -> Any:
    """The product of a page, which counts a view for a visit and none for a HEAD request."""
    # The API does not count what a browser loads ahead of a visit.
    headers = {"Sec-Purpose": "prefetch"} if call.request.method == "HEAD" else None
    return (await call.api.request("GET", f"{PRODUCTS}{call.id}/", headers=headers)).json()


def facet_choices(values: Sequence[Mapping[str, Any]], chosen: Sequence[str]) -> list[dict[str, Any]]:
    """The values of a facet as checkboxes, chosen ones first; one without products has the count 0."""
    counted = {value["value"]: {**value, "is_chosen": value["value"] in chosen} for value in values}
    missing = [
        {"value": value, "label": value, "count": 0, "is_chosen": True} for value in chosen if value not in counted
    ]
    return sorted([*counted.values(), *missing], key=lambda value: not value["is_chosen"])


def _sort_orders(language: Language, *, searches: bool) -> list[tuple[str, str]]:
    orders = [
        ("-created_at", language.gettext("Newest first")),
        ("price", language.gettext("Cheapest first")),
        ("-price", language.gettext("Most expensive first")),
        ("-count_viewed", language.gettext("Most viewed first")),
        ("created_at", language.gettext("Oldest first")),
    ]
    return [("relevance", language.gettext("Best match first")), *orders] if searches else orders
