"""The pages of the basket, and the placement of its order."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final

from attrs import evolve, frozen
from starlette.responses import Response

from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.forms import NO_ERRORS, FormErrors
from adapters.web.framework.page import Access, PageCall, PageSpec, Tone
from adapters.web.pages.shop.basket import (
    MAX_ID,
    MAX_PRODUCTS,
    Basket,
    BasketLine,
    parse_amount,
    parse_moment,
    parse_number,
    price_to_pay,
    promised_until,
    read_basket,
    write_basket,
)
from adapters.web.pages.shop.price_moves import share_of_change
from scalecommerce_core.domain.order import MAX_QUANTITY
from scalecommerce_core.domain.price_history import PricePromise

BASKET: Final = "/shop/basket/"
ORDERS: Final = "/orders/api/v1/"


@frozen
class ShownLine:
    """A line of the basket as the page shows it. `product` is None if it cannot be bought any more."""

    line: BasketLine
    product: Mapping[str, Any] | None
    price: str
    """What the order will cost per unit."""
    held_until: datetime | None
    """Until when a former price below the present one is held."""
    change: float | None
    """The change of the price since it was put in, as a share; None for none."""
    short_of: int | None
    """The units in stock, if there are fewer than wanted."""

    @property
    def total(self) -> Decimal:
        return Decimal(self.price) * self.line.quantity


class BasketPages:
    @PageSpec(method="GET", path=BASKET, access=Access.PUBLIC)
    async def show_basket(self, call: PageCall) -> Response:
        return await self._render(call, read_basket(call.request))

    @PageSpec(method="POST", path=f"{BASKET}add/", access=Access.PUBLIC)
    async def add(self, call: PageCall) -> Response:
        form, now = call.form, datetime.now(UTC)
        product, price = parse_number(form.text("product"), MAX_ID), parse_amount(form.text("price"))
        quantity = parse_number(form.text("quantity"), MAX_QUANTITY)
        if product is None or price is None:
            return call.redirect("/shop/", call.gettext("There is no such product."), Tone.ERROR)
        if quantity is None:
            message = call.gettext("A quantity is a whole number, such as 2.")
            return call.redirect(f"/shop/products/{product}/", message, Tone.ERROR)
        basket = read_basket(call.request)
        if basket.is_full and product not in basket:
            message = call.gettext("The basket is full: order its products first, or remove one.")
            return call.redirect(BASKET, message, Tone.ERROR)
        line = BasketLine(product, quantity, price, parse_moment(form.text("seen_at"), now))
        response = call.redirect(BASKET, call.gettext("The product is in the basket."))
        write_basket(call.request, response, basket.put(line))
        return response

    @PageSpec(method="POST", path=f"{BASKET}change/", access=Access.PUBLIC)
    async def change(self, call: PageCall) -> Response:
        """Set the quantities of all lines, or remove the line whose button was pressed."""
        form, basket = call.form, read_basket(call.request)
        if removed := parse_number(form.text("remove"), MAX_ID):
            basket = basket.change(removed, 0)
        else:
            for line in basket.lines:
                text = form.text(f"quantity-{line.product}", str(line.quantity))
                quantity = 0 if text == "0" else parse_number(text, MAX_QUANTITY)
                if quantity is None:
                    message = call.gettext("A quantity is a whole number, such as 2; 0 removes the product.")
                    return call.redirect(BASKET, message, Tone.ERROR)
                basket = basket.change(line.product, quantity)
        response = call.redirect(BASKET, call.gettext("The basket is up to date."))
        write_basket(call.request, response, basket)
        return response

    @PageSpec(method="POST", path="/shop/orders/", access=Access.ACCOUNT)
    async def place_order(self, call: PageCall) -> Response:
        """Order what the form shows, at the prices that it shows."""
        items = ordered_items(call.form.texts("line"))
        try:
            order = await call.api.post(
                ORDERS, {"order_item": items}, idempotency_key=call.form.text("submission") or None
            )
        except ApiProblem as problem:
            return await self._render_refusal(call, problem)
        response = call.redirect(f"/shop/orders/{order['id']}/")
        ordered = {item["product"] for item in items}
        basket = read_basket(call.request)
        left = [line for line in basket.lines if line.product not in ordered]
        write_basket(call.request, response, evolve(basket, lines=left))
        return response

    async def _render_refusal(self, call: PageCall, problem: ApiProblem) -> Response:
        """The basket with the reason; a price that is not held any more is replaced by the present one."""
        basket = read_basket(call.request)
        if problem.code != "price_moved":
            return await self._render(call, basket, FormErrors.of(problem), problem.status)
        moved = call.gettext("A price has moved and is not held any more. Check the new total, then order again.")
        expired = datetime.fromtimestamp(0, UTC)
        basket = evolve(basket, lines=[evolve(line, seen_at=expired) for line in basket.lines])
        # A new submission: the key of the refused one may be used again, but the total is another one.
        call.form = type(call.form)({})
        return await self._render(call, basket, FormErrors([moved]), problem.status)

    async def _render(
        self, call: PageCall, basket: Basket, errors: FormErrors = NO_ERRORS, status: int = HTTPStatus.OK
    ) -> Response:
        now, promise = datetime.now(UTC), call.features.promise
        products: dict[int, Mapping[str, Any]] = {}
        if basket.lines:
            listed = await call.api.get("/products/api/v1/by-id/", {"id": [line.product for line in basket.lines]})
            products = {each["id"]: each for each in listed["results"] if each["is_active"]}
        lines = [show_line(line, products.get(line.product), promise, now) for line in basket.lines]
        buyable = [shown for shown in lines if shown.product is not None]
        quotes = await self._quote(call, buyable)
        return await call.render(
            "shop/basket.html",
            status=status,
            errors=errors,
            basket=basket,
            lines=lines,
            total=sum((shown.total for shown in buyable), Decimal(0)),
            can_order=bool(buyable),
            order_lines=[order_line(shown, quotes) for shown in buyable],
            quoted_until=min((quote["expires_at"] for quote in quotes.values()), default=None),
            most_products=MAX_PRODUCTS,
        )

    async def _quote(self, call: PageCall, lines: Sequence[ShownLine]) -> Mapping[int, Mapping[str, Any]]:
        """Signed quotes of the present prices by product, so that they hold even if they were in force for a moment."""
        items = [
            {"product": shown.line.product, "quantity": shown.line.quantity}
            for shown in lines
            if shown.line.quantity <= call.features.promise.quoted_units
        ]
        if call.identity is None or not items:
            return {}
        try:
            quoted = await call.api.post(f"{ORDERS}quotes/", {"order_item": items})
        except ApiProblem:
            # Without quotes, the order is placed at the prices of the page all the same.
            return {}
        return {quote["product"]: quote for quote in quoted["quotes"]}


def show_line(line: BasketLine, product: Mapping[str, Any] | None, promise: PricePromise, now: datetime) -> ShownLine:
    """Compare a line with the product as it is now; `product` is None if it is not for sale."""
    if product is None:
        return ShownLine(line, None, line.price, None, None, None)
    current = product["price"]
    price = price_to_pay(line, current, promise, now)
    return ShownLine(
        line,
        product,
        price,
        promised_until(line, promise) if price != current else None,
        share_of_change(line.price, current) or None,
        product["stock"] if product["stock"] < line.quantity else None,
    )


def order_line(shown: ShownLine, quotes: Mapping[int, Mapping[str, Any]]) -> str:
    """The hidden field of a line: product, quantity, price and, if the price is quoted, the quote."""
    quote = quotes.get(shown.line.product)
    is_quoted = quote is not None and quote["price"] == shown.price
    return f"{shown.line.product} {shown.line.quantity} {shown.price} {quote['quote'] if quote and is_quoted else ''}"


def ordered_items(fields: Sequence[str]) -> list[dict[str, object]]:
    """The lines of an order from hidden fields; the API checks their values."""
    items: list[dict[str, object]] = []
    for text in fields:
        product, quantity, price, quote = (text.split() + [""] * 4)[:4]
        item: dict[str, object] = {
            "product": parse_number(product, MAX_ID) or product,
            "quantity": parse_number(quantity, MAX_QUANTITY) or quantity,
            "price": price,
        }
        items.append(item | {"quote": quote} if quote else item)
    return items
