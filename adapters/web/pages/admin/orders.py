"""All orders: filters, and one order with everything that belongs to it."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import NO_ERRORS, FormErrors, whole_number
from adapters.web.framework.languages import Language
from adapters.web.framework.page import Access, PageCall, PageSpec
from adapters.web.pages.admin.lists import end_of, filter_form, read_account_list, start_of

ORDERS: Final = "/operations/api/v1/orders/"
FILTERS: Final = ("search", "status", "buyer", "seller", "product", "total_min", "total_max")
ACCOUNTS: Final = ("buyer", "seller")


class AllOrderPages:
    @PageSpec(method="GET", path="/admin/orders/", access=Access.STAFF)
    async def list_orders(self, call: PageCall) -> Response:
        query = {
            **call.query_values(*(name for name in FILTERS if name not in ACCOUNTS)),
            "created_after": start_of(call.query.get("from", "")),
            "created_before": end_of(call.query.get("to", "")),
            "parked": bool(call.query.get("parked")) or None,
        }
        orders, errors = await read_account_list(call, ORDERS, query, *ACCOUNTS)
        return await call.render(
            "admin/orders.html",
            status=400 if errors else 200,
            errors=errors,
            orders=orders,
            form=filter_form(call),
            statuses=status_words(call.language),
            tones=STATUS_TONES,
            is_filtered=any(call.query.get(name) for name in (*FILTERS, "from", "to", "parked")),
        )

    @PageSpec(method="GET", path="/admin/orders/{id:int}/", access=Access.STAFF)
    async def show_order(self, call: PageCall) -> Response:
        return await self._render(call)

    @PageSpec(method="POST", path="/admin/orders/{id:int}/cancel/", access=Access.STAFF)
    async def cancel(self, call: PageCall) -> Response:
        try:
            await call.api.post(f"{ORDERS}{call.id}/cancel/", {"reason": call.form.text("reason")})
        except ApiProblem as problem:
            return await self._render(call, status=problem.status, errors=FormErrors.of(problem))
        return call.redirect(
            f"/admin/orders/{call.id}/", call.gettext("The order is cancelled, and its stock is free.")
        )

    @PageSpec(method="POST", path="/admin/orders/{id:int}/refund/", access=Access.STAFF)
    async def refund(self, call: PageCall) -> Response:
        form, target = call.form, f"/admin/orders/{call.id}/"
        lines = [
            {"product": whole_number(product), "quantity": form.integer(f"quantity-{product}")}
            for product in form.texts("product")
            if product.isascii() and product.isdecimal() and form.integer(f"quantity-{product}") not in {None, 0}
        ]
        if not lines:
            text = call.gettext("Enter how many units of a line to refund.")
            return await self._render(call, status=400, errors=FormErrors([text]))
        body = {"lines": lines, "restock": form.flag("restock")}
        try:
            await call.api.post(
                f"/orders/api/v1/{call.id}/refunds/", body, idempotency_key=form.text("submission") or None
            )
        except ApiProblem as problem:
            return await self._render(call, status=problem.status, errors=FormErrors.of(problem))
        return call.redirect(target, call.gettext("The units are refunded; the money is on its way back."))

    async def _render(self, call: PageCall, *, status: int = 200, errors: FormErrors = NO_ERRORS) -> Response:
        details = await call.api.get(f"{ORDERS}{call.id}/")
        language = call.language
        return await call.render(
            "admin/order.html",
            status=status,
            errors=errors,
            order=details["order"],
            details=details,
            names={line["product"]: line["name"] for line in details["order"]["order_items"]},
            statuses=status_words(language),
            tones=STATUS_TONES,
            moments=moment_words(language),
            payment_words=payment_words(language),
            movement_words=movement_words(language),
            refundable=refundable(details["order"]),
            currency=details["order"]["currency"],
        )


STATUS_TONES: Final = {
    "CREATED": "busy", "PENDING": "busy", "PAID": "good", "REFUNDED": "quiet", "CANCELLED": "quiet", "REJECTED": "bad",
    "OPEN": "busy", "CAPTURED": "good", "DECLINED": "bad", "ABANDONED": "quiet", "TOO_LATE": "bad", "DONE": "good",
}  # fmt: skip


def refundable(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The lines of a paid order with units that are not refunded."""
    if order["status"] != "PAID":
        return []
    return [line for line in order["order_items"] if line["refunded"] < line["quantity"]]


def status_words(language: Language) -> Mapping[str, str]:
    _ = language.gettext
    return {
        "CREATED": _("Waits for its decision"),
        "PENDING": _("Reserved, not paid"),
        "PAID": _("Paid"),
        "REFUNDED": _("Refunded"),
        "CANCELLED": _("Cancelled"),
        "REJECTED": _("Rejected"),
    }


def payment_words(language: Language) -> Mapping[str, str]:
    """Statuses of payments and refunds."""
    _ = language.gettext
    return {
        "OPEN": _("Not answered yet"),
        "CAPTURED": _("Charged"),
        "DECLINED": _("Declined"),
        "ABANDONED": _("Abandoned"),
        "TOO_LATE": _("Charged too late"),
        "DONE": _("Confirmed"),
    }


def movement_words(language: Language) -> Mapping[str, str]:
    _ = language.gettext
    return {
        "opening": _("Opening stock"),
        "adjustment": _("Adjustment"),
        "sale": _("Sale"),
        "return": _("Return"),
        "correction": _("Correction"),
    }


def moment_words(language: Language) -> Mapping[str, str]:
    _ = language.gettext
    return {
        "placed": _("The order was placed"),
        "reserved": _("The stock was reserved"),
        "rejected": _("The order was rejected"),
        "decision_failed": _("The decision failed"),
        "payment_started": _("A payment was started"),
        "payment_declined": _("The payment was declined"),
        "payment_abandoned": _("The payment was abandoned"),
        "payment_too_late": _("The payment came too late"),
        "paid": _("The order was paid"),
        "cancelled": _("The order was cancelled"),
        "cancelled_by_staff": _("Staff cancelled the order"),
        "expired": _("The reservation expired"),
        "refunded": _("Units were refunded"),
        "refund_confirmed": _("The gateway confirmed the refund"),
    }
