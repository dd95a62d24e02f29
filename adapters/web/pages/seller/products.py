"""The seller's products: list, create, edit, pause and resume, withdraw, stock."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import NO_ERRORS, SUBMISSION, Form, FormErrors
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec
from adapters.web.framework.templates import category_name
from adapters.web.pages.seller.fields import changed_fields, read_fields, utc_field, with_initial_values

PRODUCTS: Final = "/products/api/v1/"
LIST: Final = "/seller/products/"
PRODUCT: Final = LIST + "{id:int}/"
FILTERS: Final = ("search", "category", "stock", "policy", "is_active")
"""Filters of the list, as in the API."""
TEXTS: Final = ("name", "brand", "description")
OPTIONAL_TEXTS: Final = (
    "sku", "cost", "min_price", "max_price", "competitor_price",
)  # fmt: skip
"""Fields that are null when they are empty."""
NUMBERS: Final = ("category_id", "max_per_buyer")
MOMENTS: Final = ("stock_until",)
FIELDS: Final = (*TEXTS, "price", *OPTIONAL_TEXTS, *NUMBERS, *MOMENTS)


class ProductPages:
    """Pages for the seller's own products."""

    @PageSpec(method="GET", path=LIST, access=Access.ACCOUNT)
    async def show_products(self, call: PageCall) -> Response:
        filters, cursor = call.query_values(*FILTERS), call.query_values("cursor")
        errors, status = NO_ERRORS, 200
        try:
            document = await call.api.get(f"{PRODUCTS}own/", {**filters, **cursor, "page_size": 30})
        except ApiProblem as problem:
            if problem.status != HTTPStatus.BAD_REQUEST:
                raise
            document, errors, status = {"results": []}, FormErrors.of(problem), problem.status
        return await call.render(
            "seller/products.html",
            status=status,
            errors=errors,
            found=document,
            cursors=CursorLinks(document),
            form=Form.of(dict.fromkeys(FILTERS, "") | filters),
            filters=dict.fromkeys(FILTERS, "") | filters,
            categories=await categories_of(call),
            policies=[(str(each["id"]), each["name"]) for each in await own_policies(call)],
        )

    @PageSpec(method="GET", path=f"{LIST}new/", access=Access.ACCOUNT)
    async def show_new_product(self, call: PageCall) -> Response:
        return await call.render(
            "seller/product_new.html", form=Form.of({"is_active": True}), categories=await categories_of(call)
        )

    @PageSpec(method="POST", path=f"{LIST}new/", access=Access.ACCOUNT)
    async def create_product(self, call: PageCall) -> Response:
        form = call.form
        fields = read_fields(form, FIELDS, NUMBERS, MOMENTS)
        body = {name: value for name, value in fields.items() if value is not None}
        # An empty required field is sent, so that the API says what it must contain.
        body = {"name": "", "price": "", "category_id": None, "stock": form.integer("stock") or 0, **body}
        try:
            created = await call.api.post(
                PRODUCTS, {**body, "is_active": form.flag("is_active")}, idempotency_key=form.optional(SUBMISSION)
            )
        except ApiProblem as problem:
            return await call.render(
                "seller/product_new.html",
                status=problem.status,
                errors=FormErrors.of(problem),
                categories=await categories_of(call),
            )
        return call.redirect(product_path(created["id"]), call.gettext("The product is listed."))

    @PageSpec(method="GET", path=f"{PRODUCT}edit/", access=Access.ACCOUNT)
    async def show_edit(self, call: PageCall) -> Response:
        product = await own_product(call)
        return await call.render(
            "seller/product_edit.html",
            product=product,
            form=_edit_form(product),
            categories=await categories_of(call),
        )

    @PageSpec(method="POST", path=f"{PRODUCT}edit/", access=Access.ACCOUNT)
    async def edit_product(self, call: PageCall) -> Response:
        """Send the fields that the reader changed: others, such as a price that moved meanwhile, stay as they are."""
        changes = changed_fields(call.form, FIELDS, NUMBERS, MOMENTS, never_null=(*TEXTS, "price", "category_id"))
        if not changes:
            return call.redirect(product_path(call.id), call.gettext("You changed nothing."))
        try:
            await call.api.patch(f"{PRODUCTS}{call.id}/", changes)
        except ApiProblem as problem:
            return await call.render(
                "seller/product_edit.html",
                status=problem.status,
                errors=FormErrors.of(problem),
                product=await own_product(call),
                categories=await categories_of(call),
            )
        return call.redirect(product_path(call.id), call.gettext("The changes are saved."))

    @PageSpec(method="POST", path=f"{PRODUCT}pause/", access=Access.ACCOUNT)
    async def pause_product(self, call: PageCall) -> Response:
        return await self._set_active(call, active=False, message=call.gettext("The product is paused."))

    @PageSpec(method="POST", path=f"{PRODUCT}resume/", access=Access.ACCOUNT)
    async def resume_product(self, call: PageCall) -> Response:
        return await self._set_active(call, active=True, message=call.gettext("The product is for sale again."))

    @PageSpec(method="POST", path=f"{PRODUCT}stock/", access=Access.ACCOUNT)
    async def change_stock(self, call: PageCall) -> Response:
        """Add units, or remove them: a change, not a total, because buyers take units meanwhile."""
        try:
            stock = await call.api.post(
                f"{PRODUCTS}{call.id}/stock/",
                {"delta": call.form.integer("delta")},
                idempotency_key=call.form.optional(SUBMISSION),
            )
        except ApiProblem as problem:
            return call.refuse(product_path(call.id), problem)
        text = call.gettext("Available now: %(units)s.") % {"units": call.language.number(stock["stock"])}
        return call.redirect(product_path(call.id), text)

    @PageSpec(method="GET", path=f"{PRODUCT}withdraw/", access=Access.ACCOUNT)
    async def show_withdrawal(self, call: PageCall) -> Response:
        return await call.render("seller/product_withdraw.html", product=await own_product(call))

    @PageSpec(method="POST", path=f"{PRODUCT}withdraw/", access=Access.ACCOUNT)
    async def withdraw_product(self, call: PageCall) -> Response:
        try:
            await call.api.delete(f"{PRODUCTS}{call.id}/")
        except ApiProblem as problem:
            return call.refuse(product_path(call.id), problem)
        return call.redirect(LIST, call.gettext("The product is withdrawn."))

    async def _set_active(self, call: PageCall, *, active: bool, message: str) -> Response:
        try:
            await call.api.patch(f"{PRODUCTS}{call.id}/", {"is_active": active})
        except ApiProblem as problem:
            return call.refuse(product_path(call.id), problem)
        return call.redirect(product_path(call.id), message)


def product_path(number: int) -> str:
    """The price page of a product, which is also its main page for the seller."""
    return f"{LIST}{number}/"


async def own_policies(call: PageCall) -> list[Any]:
    """The caller's policies; staff get the policies of all sellers from the API, so they are filtered."""
    assert call.identity is not None  # noqa: S101 - `Access.ACCOUNT`
    document = await call.api.get("/pricing/api/v1/policies/", {"page_size": 100})
    return [policy for policy in document["results"] if policy["seller"] == call.identity.account_id]


async def own_product(call: PageCall) -> Any:
    """The product of the path, with the seller's fields; raise a 403 `ApiProblem` for products of others."""
    product = await call.api.get(f"{PRODUCTS}{call.id}/")
    if "sku" not in product:
        raise ApiProblem(403, {"detail": call.gettext("This product belongs to another seller.")}, {})
    return product


async def product_names(call: PageCall, numbers: Iterable[int]) -> dict[int, str]:
    """The names of products by id, read at once; without those that were withdrawn."""
    wanted = list(dict.fromkeys(numbers))
    if not wanted:
        return {}
    found = await call.api.get(f"{PRODUCTS}by-id/", {"id": wanted})
    return {product["id"]: product["name"] for product in found["results"]}


async def categories_of(call: PageCall) -> Sequence[tuple[int, str]]:
    """Id and name of all categories."""
    found = await call.api.get(f"{PRODUCTS}categories/")
    return sorted(
        ((each["id"], category_name(each["name"])) for each in found["results"]), key=lambda each: str(each[1])
    )


def _edit_form(product: dict[str, Any]) -> Form:
    values = {name: product.get(name) for name in FIELDS if name not in {"category_id", *MOMENTS}}
    values |= {"category_id": product["category"]["id"], "stock_until": utc_field(product["stock_until"])}
    return with_initial_values(values)
