"""The reader's orders: history, decision, payment and cancellation."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.languages import Language
from adapters.web.framework.page import Access, CursorLinks, PageCall, PageSpec
from adapters.web.pages.shop.basket import read_basket

ORDERS: Final = "/orders/api/v1/"
PAGE_SIZE: Final = 20


class OrderPages:
    @PageSpec(method="GET", path="/shop/orders/", access=Access.ACCOUNT)
    async def list_orders(self, call: PageCall) -> Response:
        query = {**call.query_values("cursor"), "page_size": PAGE_SIZE, "names": True}
        orders = CursorLinks(await call.api.get(ORDERS, query))
        return await call.render(
            "shop/orders.html",
            basket=read_basket(call.request),
            orders=orders,
            statuses=status_words(call.language),
            tones=STATUS_TONES,
        )

    @PageSpec(method="GET", path="/shop/orders/{id:int}/", access=Access.ACCOUNT)
    async def show_order(self, call: PageCall) -> Response:
        order = await call.api.get(f"{ORDERS}{call.id}/", {"names": True})
        return await call.render(
            "shop/order.html",
            basket=read_basket(call.request),
            order=order,
            status_text=status_words(call.language)[order["status"]],
            tones=STATUS_TONES,
            refunded=refunded_amount(order),
            names={item["product"]: item["name"] for item in order["order_items"]},
            is_own=call.identity is not None and order["user"] == call.identity.account_id,
        )

    @PageSpec(method="POST", path="/shop/orders/{id:int}/pay/", access=Access.ACCOUNT)
    async def pay(self, call: PageCall) -> Response:
        target, method = f"/shop/orders/{call.id}/", call.form.text("payment_method")
        try:
            await call.api.post(f"{ORDERS}{call.id}/pay/", {"payment_method": method} if method else None)
        except ApiProblem as problem:
            return call.refuse(target, problem)
        return call.redirect(target, call.gettext("Thank you for your order!"))

    @PageSpec(method="POST", path="/shop/orders/{id:int}/cancel/", access=Access.ACCOUNT)
    async def cancel(self, call: PageCall) -> Response:
        target = f"/shop/orders/{call.id}/"
        try:
            await call.api.post(f"{ORDERS}{call.id}/cancel/")
        except ApiProblem as problem:
            return call.refuse(target, problem)
        return call.redirect(target, call.gettext("The order is cancelled."))


STATUS_TONES: Final = {
    "CREATED": "busy", "PENDING": "busy", "PAID": "good", "REFUNDED": "quiet", "CANCELLED": "quiet", "REJECTED": "bad",
}  # fmt: skip


def status_words(language: Language) -> dict[str, str]:
    return {
        "CREATED": language.gettext("Being checked"),
        "PENDING": language.gettext("Reserved, to be paid"),
        "PAID": language.gettext("Paid"),
        "REFUNDED": language.gettext("Refunded"),
        "CANCELLED": language.gettext("Cancelled"),
        "REJECTED": language.gettext("Rejected"),
    }


def refunded_amount(order: Mapping[str, Any]) -> Decimal:
    """What was refunded of an order, in whole units of its currency."""
    return sum((Decimal(item["price"]) * item["refunded"] for item in order["order_items"]), Decimal(0))
