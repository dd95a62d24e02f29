"""Products of all sellers: search, details, edits and stock."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import NO_ERRORS, Form, FormErrors
from adapters.web.framework.languages import Language
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.admin.lists import filter_form, read_account_list, read_list
from adapters.web.pages.admin.orders import movement_words

PRODUCTS: Final = "/products/api/v1/"
FILTERS: Final = ("search", "seller", "category", "price_min", "price_max", "in_stock")
STATES: Final[Mapping[str, str | None]] = {"off": "false", "all": None}
"""Lists besides the search of products on sale, with the value of the API's filter `on_sale`."""
ALL_PRODUCTS: Final = "/operations/api/v1/products/"
TEXTS: Final = ("name", "brand", "description", "price")
OPTIONAL_TEXTS: Final = ("sku", "cost", "min_price", "max_price")
NUMBERS: Final = ("category_id", "max_per_buyer")


class ProductPages:
    @PageSpec(method="GET", path="/admin/products/", access=Access.STAFF)
    async def list_products(self, call: PageCall) -> Response:
        wanted = call.query.get("search", "").strip().removeprefix("#")
        if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19:
            # Withdrawn and inactive products are not in the search, but they have pages.
            found = await call.api.get(f"{PRODUCTS}by-id/", {"id": int(wanted)})
            if found["results"]:
                return call.redirect(f"/admin/products/{int(wanted)}/")
        state = call.query.get("state", "")
        if state in STATES:
            products, errors = await read_account_list(call, ALL_PRODUCTS, {"on_sale": STATES[state]}, "seller")
            rows = products.results
        else:
            products, errors = await read_account_list(
                call, PRODUCTS, call.query_values(*(name for name in FILTERS if name != "seller")), "seller"
            )
            rows = [{"product": each, "state": "on_sale"} for each in products.results]
        categories = await call.api.get(f"{PRODUCTS}categories/")
        return await call.render(
            "admin/products.html",
            status=400 if errors else 200,
            errors=errors,
            products=products,
            rows=rows,
            states=state_words(call.language),
            category_choices=[
                ("", call.gettext("Any")),
                *((each["slug"], each["name"]) for each in categories["results"]),
            ],
            form=filter_form(call),
            is_filtered=any(call.query.get(name) for name in (*FILTERS, "state")),
        )

    @PageSpec(method="GET", path="/admin/products/{id:int}/", access=Access.STAFF)
    async def show_product(self, call: PageCall) -> Response:
        return await _render_product(call)

    @PageSpec(method="POST", path="/admin/products/{id:int}/", access=Access.STAFF)
    async def edit_product(self, call: PageCall) -> Response:
        form = call.form
        changes: dict[str, Any] = {name: form.text(name) for name in TEXTS if name in form}
        changes |= {name: form.optional(name) for name in OPTIONAL_TEXTS if name in form}
        changes |= {name: form.integer(name) for name in NUMBERS if name in form}
        if not changes:
            return call.redirect(f"/admin/products/{call.id}/")
        try:
            await call.api.patch(f"{PRODUCTS}{call.id}/", changes)
        except ApiProblem as problem:
            return await _render_product(call, problem, form)
        return call.redirect(f"/admin/products/{call.id}/", call.gettext("The product is changed."))

    @PageSpec(method="POST", path="/admin/products/{id:int}/stock/", access=Access.STAFF)
    async def adjust_stock(self, call: PageCall) -> Response:
        target = f"/admin/products/{call.id}/"
        delta = call.form.integer("delta")
        if delta is None:
            return call.redirect(target)
        try:
            await call.api.post(
                f"{PRODUCTS}{call.id}/stock/", {"delta": delta}, idempotency_key=call.form.text("submission") or None
            )
        except ApiProblem as problem:
            return await _render_product(call, problem)
        return call.redirect(target, call.gettext("The stock is changed."))

    @PageSpec(method="GET", path="/admin/products/{id:int}/stock/", access=Access.STAFF)
    async def list_movements(self, call: PageCall) -> Response:
        movements, errors = await read_list(call, f"{PRODUCTS}{call.id}/stock/movements/", {})
        return await call.render(
            "admin/movements.html",
            status=400 if errors else 200,
            errors=errors,
            product_id=call.id,
            movements=movements,
            kinds=movement_words(call.language),
        )


async def _render_product(call: PageCall, problem: ApiProblem | None = None, form: Form | None = None) -> Response:
    found = await call.api.get(f"{PRODUCTS}by-id/", {"id": call.id})
    if not found["results"]:
        raise ApiProblem(404, {"detail": call.gettext("There is no such product, or it is withdrawn.")}, {})
    product = found["results"][0]
    categories = await call.api.get(f"{PRODUCTS}categories/")
    history = await call.api.get(f"{PRODUCTS}{call.id}/price-history/")
    return await call.render(
        "admin/product.html",
        status=200 if problem is None else problem.status,
        errors=NO_ERRORS if problem is None else FormErrors.of(problem),
        form=Form.of({**product, "category_id": product["category"]["id"]}) if form is None else form,
        product=product,
        category_ids=_choices(categories, "id"),
        causes=cause_words(call.language),
        history=history,
    )


def _choices(categories: Mapping[str, Any], name: str) -> list[tuple[Any, str]]:
    """Categories for a list of choices; `name` is the field that identifies them."""
    return [(each[name], each["name"]) for each in categories["results"]]


def state_words(language: Language) -> Mapping[str, str]:
    """Whether a product is on sale, or why it is not."""
    _ = language.gettext
    return {
        "on_sale": _("On sale"),
        "paused": _("Paused"),
        "seller_deactivated": _("Seller deactivated"),
        "withdrawn": _("Withdrawn"),
    }


def cause_words(language: Language) -> Mapping[str, str]:
    """Why a price came into force."""
    _ = language.gettext
    return {
        "listed": _("first price"),
        "manual": _("set by hand"),
        "policy": _("pricing policy"),
        "import": _("import"),
        "rollback": _("rollback of a run"),
        "withdrawal": _("withdrawal of a price"),
        "promotion": _("promotion"),
        "promotion_end": _("end of a promotion"),
    }
