"""Announced sales of a seller: list, create, end."""

from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import SUBMISSION, Form, FormErrors, whole_number
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec
from adapters.web.pages.seller.fields import utc_moment
from adapters.web.pages.seller.prices import PRICING
from adapters.web.pages.seller.products import categories_of, product_names

LIST: Final = "/seller/promotions/"
PROMOTION: Final = LIST + "{id:int}/"
ENDED: Final = frozenset({"ended", "cancelled"})


class PromotionPages:
    """Pages for the seller's promotions."""

    @PageSpec(method="GET", path=LIST, access=Access.ACCOUNT)
    async def show_promotions(self, call: PageCall) -> Response:
        document = await call.api.get(f"{PRICING}promotions/", call.query_values("cursor"))
        return await call.render(
            "seller/promotions.html",
            promotions=document["results"],
            cursors=CursorLinks(document),
            statuses=promotion_statuses(call),
        )

    @PageSpec(method="GET", path=f"{LIST}new/", access=Access.ACCOUNT)
    async def show_new_promotion(self, call: PageCall) -> Response:
        return await call.render(
            "seller/promotion_new.html",
            form=Form.of({"scope": "products", "products": call.query.get("product", "")}),
            categories=await categories_of(call),
        )

    @PageSpec(method="POST", path=f"{LIST}new/", access=Access.ACCOUNT)
    async def create_promotion(self, call: PageCall) -> Response:
        try:
            created = await call.api.post(
                f"{PRICING}promotions/", promotion_body(call.form), idempotency_key=call.form.optional(SUBMISSION)
            )
        except ApiProblem as problem:
            return await call.render(
                "seller/promotion_new.html",
                status=problem.status,
                errors=FormErrors.of(problem),
                categories=await categories_of(call),
            )
        return call.redirect(f"{LIST}{created['id']}/", call.gettext("The promotion is announced."))

    @PageSpec(method="GET", path=PROMOTION, access=Access.ACCOUNT)
    async def show_promotion(self, call: PageCall) -> Response:
        promotion = await call.api.get(f"{PRICING}promotions/{call.id}/")
        document = await call.api.get(
            f"{PRICING}promotions/{call.id}/products/", {"page_size": 50, **call.query_values("cursor")}
        )
        return await call.render(
            "seller/promotion.html",
            promotion=promotion,
            products=document["results"],
            names=await product_names(call, (each["product"] for each in document["results"])),
            cursors=CursorLinks(document),
            statuses=promotion_statuses(call),
            can_end=promotion["status"] not in ENDED,
            notes=promotion_notes(call),
        )

    @PageSpec(method="POST", path=f"{PROMOTION}end/", access=Access.ACCOUNT)
    async def end_promotion(self, call: PageCall) -> Response:
        path = f"{LIST}{call.id}/"
        try:
            await call.api.delete(f"{PRICING}promotions/{call.id}/")
        except ApiProblem as problem:
            return call.refuse(path, problem)
        return call.redirect(path, call.gettext("The promotion ends. Its prices return to those before it."))


def promotion_body(form: Form) -> dict[str, Any]:
    """The body of the API for a form; products are numbers separated by spaces, commas or lines."""
    body: dict[str, Any] = {"name": form.text("name"), "ends_at": utc_moment(form.text("ends_at")) or ""}
    if starts_at := utc_moment(form.text("starts_at")):
        body["starts_at"] = starts_at
    if (percent := form.integer("percent")) is not None:
        body["percent"] = percent
    match form.text("scope"):
        case "category":
            body["category_id"] = form.integer("category_id")
        case "all":
            body["all_products"] = True
        case _:
            numbers = form.text("products").replace(",", " ").split()
            body["products"] = [{"product": whole_number(each)} for each in numbers]
    return body


def promotion_statuses(call: PageCall) -> dict[str, tuple[str, str]]:
    """The word and the tone of each status."""
    _ = call.gettext
    return {
        "scheduled": (_("Announced"), "busy"),
        "running": (_("Running"), "good"),
        "ended": (_("Ended"), "quiet"),
        "cancelled": (call.language.pgettext("promotion", "Cancelled"), "quiet"),
    }


def promotion_notes(call: PageCall) -> dict[str, str]:
    """Why a product has no promotional price."""
    _ = call.gettext
    return {
        "not_lower": _("The promotional price was not below the price in force."),
        "below_min_price": _("The promotional price was below your lowest price."),
        "currency": _("The product was priced in another currency."),
        "withdrawn": _("The product was withdrawn from the catalog."),
        "missed": _("The promotion was over before it could be started."),
    }
