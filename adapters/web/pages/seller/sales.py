"""Sales of the seller's products, and refunds."""

from typing import Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem, encode_query
from adapters.web.framework.forms import SUBMISSION, Form, FormErrors
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec
from adapters.web.pages.seller.fields import day_bound

ORDERS: Final = "/orders/api/v1/"
LIST: Final = "/seller/sales/"
FILTERS: Final = ("status", "product", "from", "to", "cursor")


class SalePages:
    """Pages for order lines with the seller's products."""

    @PageSpec(method="GET", path=LIST, access=Access.ACCOUNT)
    async def show_sales(self, call: PageCall) -> Response:
        filters: dict[str, object] = {**call.query_values(*FILTERS)}
        errors = FormErrors()
        bounds = {name: day_bound(str(filters[name]), name) for name in ("from", "to") if name in filters}
        try:
            document = await call.api.get(f"{ORDERS}sales/", filters | bounds | {"page_size": 30})
        except ApiProblem as problem:
            if not problem.errors:
                raise
            errors, document = FormErrors.of(problem), {"results": [], "next": None, "previous": None}
        return await call.render(
            "seller/sales.html",
            status=400 if errors else 200,
            errors=errors,
            sales=document["results"],
            cursors=CursorLinks(document),
            statuses=order_statuses(call),
            form=Form.of(filters),
        )

    @PageSpec(method="POST", path=f"{LIST}refund/", access=Access.ACCOUNT)
    async def refund(self, call: PageCall) -> Response:
        form = call.form
        order, target = form.integer("order"), _list_path(form)
        body = {
            "lines": [{"product": form.integer("product"), "quantity": form.integer("quantity")}],
            "restock": form.flag("restock"),
        }
        if not isinstance(order, int) or order < 1:
            return call.redirect(LIST)
        try:
            await call.api.post(f"{ORDERS}{order}/refunds/", body, idempotency_key=form.optional(SUBMISSION))
        except ApiProblem as problem:
            return call.refuse(target, problem)
        text = call.gettext("Refunded: %(quantity)s of order %(order)s.")
        return call.redirect(target, text % {"quantity": form.text("quantity"), "order": order})


def order_statuses(call: PageCall) -> dict[str, tuple[str, str]]:
    """The word and the tone of each status of an order."""
    _ = call.gettext
    return {
        "CREATED": (_("Waits for its decision"), "busy"),
        "PENDING": (_("Reserved, not paid"), "busy"),
        "REJECTED": (_("Rejected"), "bad"),
        "PAID": (_("Paid"), "good"),
        "CANCELLED": (_("Cancelled"), "quiet"),
        "REFUNDED": (_("Refunded"), "quiet"),
    }


def _list_path(form: Form) -> str:
    """The page of the list from which a refund was sent."""
    query = encode_query({name: form.text(f"list_{name}") for name in FILTERS})
    return f"{LIST}?{query}" if query else LIST
