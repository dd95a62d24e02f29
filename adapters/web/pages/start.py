"""The start page `/`, and the log-ins of a demo."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final

from attrs import frozen
from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapters.web.charts.markup import Html
from adapters.web.charts.sparkline import Sparkline, render_sparkline
from adapters.web.framework.api_client import ApiProblem
from adapters.web.framework.demo import DemoProduct, is_on_this_machine
from adapters.web.framework.page import Access, Page, PageCall, PageSpec, Tone, pages_of
from adapters.web.pages.accounts import USERS, log_in_browser

TARGETS: Final[Mapping[str, str]] = {"buyer": "/shop/", "seller": "/seller/", "staff": "/admin/"}
"""The page that follows the log-in of a demo, by role."""


@frozen
class MovingProduct:
    """A product of the demo whose price moves towards the best one; `price` is the one in force."""

    product: DemoProduct
    price: str
    currency: str
    prices: int
    path: Html
    distance: float
    """The distance to the best price, as a share of the best price, with the sign of the error."""


class StartPages:
    @PageSpec(method="GET", path="/", access=Access.PUBLIC)
    async def show_start(self, call: PageCall) -> Response:
        demo = call.features.demo
        if demo is None:
            return await call.render("start.html", moving=(), log_ins=())
        histories = await asyncio.gather(*(_read_history(call, each.id) for each in demo.products))
        moving = [
            _to_moving(call, each, history)
            for each, history in zip(demo.products, histories, strict=True)
            if history is not None
        ]
        log_ins = tuple(demo.accounts) if is_on_this_machine(call.request) else ()
        return await call.render("start.html", moving=moving, log_ins=log_ins)

    @PageSpec(method="POST", path="/log-in/demo/", access=Access.PUBLIC)
    async def log_in_demo(self, call: PageCall) -> Response:
        """Log in as an account of the demo, on this machine only."""
        demo, role = call.features.demo, call.form.text("role")
        if demo is None or role not in demo.accounts or not is_on_this_machine(call.request):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        try:
            tokens = await call.api.post(f"{USERS}token/", {"email": demo.accounts[role], "password": demo.password})
        except ApiProblem as problem:
            message = call.gettext("This account of the demo has another password or a second factor now: %(reason)s")
            return call.redirect("/log-in/", message % {"reason": problem.detail}, Tone.ERROR)
        return await log_in_browser(call, tokens, TARGETS[role])


def start_pages() -> list[Page]:
    return pages_of(StartPages())


async def _read_history(call: PageCall, product: int) -> Any:
    """The price history of a product of the demo; None if it was withdrawn."""
    try:
        return await call.api.get(f"/products/api/v1/{product}/price-history/")
    except ApiProblem as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
        return None


def _to_moving(call: PageCall, product: DemoProduct, history: Mapping[str, Any]) -> MovingProduct:
    intervals, currency = history["intervals"], history["currency"]
    price, best = intervals[0]["price"], Decimal(product.best)
    title = call.gettext("Prices of %(name)s: from %(first)s to %(last)s") % {
        "name": product.name,
        "first": call.language.money(intervals[-1]["price"], currency),
        "last": call.language.money(price, currency),
    }
    return MovingProduct(
        product,
        price,
        currency,
        len(intervals),
        render_sparkline(
            Sparkline(title, tuple(path_values(intervals)), call.gettext("No price yet."), from_zero=False)
        ),
        float((Decimal(price) - best) / best),
    )


def path_values(intervals: Sequence[Mapping[str, Any]]) -> list[float]:
    """The prices of a history, oldest first; a single one twice, so that it is a line."""
    values = [float(each["price"]) for each in reversed(intervals)]
    return values if len(values) > 1 else values * 2
