"""The storefront: search, products, views, the basket and orders."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.web.framework.languages import load
from adapters.web.pages.shop.basket import (
    MAX_PRODUCTS,
    Basket,
    BasketLine,
    parse_amount,
    parse_moment,
    price_to_pay,
)
from adapters.web.pages.shop.basket_pages import order_line, ordered_items, show_line
from adapters.web.pages.shop.catalog import PAGE_SIZE, facet_choices
from adapters.web.pages.shop.orders import refunded_amount, status_words
from adapters.web.pages.shop.price_moves import cause_words, describe_prices, share_of_change
from scalecommerce_core.domain.errors import OrderBacklogFull
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.price_history import PricePromise
from scalecommerce_core.domain.product import PriceCause
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import Marketplace, answer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROMISE = PricePromise()
ORDER_LINE = re.compile(r'name="line" value="([^"]*)"')


def a_line(product: int = 7, quantity: int = 2, price: str = "19.90", seen_at: datetime = NOW) -> BasketLine:
    return BasketLine(product, quantity, price, seen_at)


# --- the basket


@given(
    st.lists(
        st.builds(
            BasketLine,
            st.integers(1, 2**63 - 1),
            st.integers(1, 900_000_000),
            st.decimals("0.01", "99999999.99", places=2).map(str),
            st.integers(1, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
        ),
        max_size=MAX_PRODUCTS,
        unique_by=lambda line: line.product,
    )
)
def test_a_basket_survives_its_cookie(lines: list[BasketLine]) -> None:
    assert Basket.from_text(Basket(lines).to_text()) == Basket(lines)


@given(st.text())
def test_any_cookie_is_a_basket(text: str) -> None:
    assert len(Basket.from_text(text)) <= MAX_PRODUCTS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7:0:1.00:1",
        "0:1:1.00:1",
        "7:1:-1:1",
        "7:1:1.00:x",
        "7:1:1e3:1",
        "x:1:1.00:1",
        "7:1:1.00:1:2",
        "7:1:1.00:253402300799",
    ],
)
def test_lines_that_are_not_valid_are_left_out(text: str) -> None:
    assert [line.product for line in Basket.from_text(f"{text}|8:1:1.00:1")] == [8]


def test_a_product_that_is_put_in_again_adds_units_at_the_price_seen_last() -> None:
    basket = Basket([a_line(7), a_line(8)]).put(a_line(7, 3, "21.00"))
    assert [(line.product, line.quantity, line.price) for line in basket] == [(7, 5, "21.00"), (8, 2, "19.90")]
    assert basket.units == 7


def test_a_quantity_of_zero_removes_a_product() -> None:
    assert Basket([a_line(7), a_line(8)]).change(7, 0).change(8, 5) == Basket([a_line(8, 5)])


@pytest.mark.parametrize(("text", "amount"), [("19.90", "19.90"), ("5", "5"), ("5.", None), (".5", None), ("-1", None)])
def test_amounts_are_decimal_texts(text: str, amount: str | None) -> None:
    assert parse_amount(text) == amount


def test_a_moment_lies_in_the_past() -> None:
    seconds = int(NOW.timestamp())
    assert parse_moment(str(seconds - 60), NOW) == NOW - timedelta(minutes=1)
    assert parse_moment(str(seconds + 60), NOW) == parse_moment("x", NOW) == NOW


@pytest.mark.parametrize(
    ("seen", "age", "quantity", "paid"),
    [
        ("18.00", 60, 2, "18.00"),  # it has risen since
        ("18.00", 601, 2, "20.00"),  # the promise has ended
        ("18.00", 60, 11, "20.00"),  # more units than are promised
        ("22.00", 60, 2, "20.00"),  # it has fallen
    ],
)
def test_the_lower_of_the_price_seen_and_the_present_one_is_paid(seen: str, age: int, quantity: int, paid: str) -> None:
    line = a_line(quantity=quantity, price=seen, seen_at=NOW - timedelta(seconds=age))
    assert price_to_pay(line, "20.00", PROMISE, NOW) == paid


def test_a_line_shows_what_has_changed() -> None:
    product = {"price": "20.00", "stock": 1}
    shown = show_line(a_line(price="18.00"), product, PROMISE, NOW)
    assert (shown.price, shown.held_until, shown.short_of, shown.total) == (
        "18.00", NOW + PROMISE.lasts, 1, Decimal("36.00"),
    )  # fmt: skip
    assert shown.change == pytest.approx(1 / 9)
    assert show_line(a_line(), None, PROMISE, NOW).product is None


def test_a_quote_is_sent_with_the_price_that_it_quotes() -> None:
    shown = show_line(a_line(), {"price": "19.90", "stock": 5}, PROMISE, NOW)
    lines = [order_line(shown, {7: {"price": price, "quote": "signed"}}) for price in ("19.90", "20.00")]
    assert ordered_items(lines) == [
        {"product": 7, "quantity": 2, "price": "19.90", "quote": "signed"},
        {"product": 7, "quantity": 2, "price": "19.90"},
    ]


# --- helpers of the other pages


def test_chosen_values_of_a_facet_come_first_even_without_products() -> None:
    values = [{"value": "1", "label": "toys", "count": 3}, {"value": "2", "label": "books", "count": 2}]
    assert [(each["value"], each["count"]) for each in facet_choices(values, ["2", "9"])] == [
        ("2", 2), ("9", 0), ("1", 3),
    ]  # fmt: skip


def test_every_cause_and_status_has_words_in_every_language() -> None:
    for code in ("en", "ru"):
        assert cause_words(load(code)).keys() == set(PriceCause)
        assert status_words(load(code)).keys() == set(OrderStatus)


def test_a_price_history_is_described_newest_move_first() -> None:
    def interval(price: str, hours: int, cause: str) -> dict[str, Any]:
        return {
            "price": price,
            "valid_from": (NOW - timedelta(hours=hours)).isoformat(),
            "cause": cause,
            "is_withdrawn": False,
        }

    intervals = [interval("22.00", 1, "policy"), interval("20.00", 9, "listed")]
    history = {"currency": "USD", "intervals": intervals, "lowest_price_30d": "20.00", "reduction": None}
    described = describe_prices(history, NOW, load("en"), "Kettle <b>")
    assert [(move.price, move.former) for move in described.moves] == [("22.00", "20.00"), ("20.00", None)]
    assert described.moves[0].change == pytest.approx(0.1)
    assert "demand" in described.moves[0].reason
    assert "Kettle &lt;b&gt;" in described.chart
    assert len(described.table.rows) == 2


def test_a_change_from_nothing_has_no_share() -> None:
    assert share_of_change("0", "5.00") is None


def test_refunded_units_are_added_up() -> None:
    items = [{"price": "2.50", "refunded": 2}, {"price": "9.00", "refunded": 0}]
    assert refunded_amount({"order_items": items}) == Decimal("5.00")


# --- pages


def views_of(site: Marketplace, product: int) -> int:
    site.flush_views()
    return site.market.queries.products([product])[product].count_viewed  # type: ignore[list-item, index]


def test_a_visit_of_the_product_page_is_one_view_and_nothing_else_is(
    site: Marketplace, anybody: Browser, logged_in: Callable[..., Browser]
) -> None:
    product = site.person().list(name="Seen kettle", stock=5)["id"]
    page = f"/shop/products/{product}/"
    visitor, buyer = anybody, logged_in()
    for path in ("/shop/?search=seen", f"{page}prices/", "/shop/basket/"):
        assert visitor.get(path).status_code == 200
    assert visitor.send("HEAD", page).status_code == 200
    fields = {"product": product, "quantity": "1", "price": "10.00", "seen_at": "1"}
    assert "Seen kettle" in visitor.submit("/shop/basket/add/", fields).text
    assert views_of(site, product) == 0
    visitor.get(page)
    assert views_of(site, product) == 1
    buyer.get(page)
    assert views_of(site, product) == 2


def test_the_search_keeps_its_filters_and_pages_by_cursor(site: Marketplace, anybody: Browser) -> None:
    seller = site.person()
    for number in range(PAGE_SIZE + 1):
        seller.list(name=f"Paged lamp {number}", brand="Paged & Co", price="12.00", stock=1)
    first = anybody.get("/shop/?brand=Paged+%26+Co&price_min=10&in_stock=true")
    assert first.text.count('<li class="product">') == PAGE_SIZE
    following = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert following is not None
    second = anybody.get(following[1].replace("&amp;", "&"))
    assert second.text.count('<li class="product">') == 1
    assert 'value="Paged &amp; Co" checked' in second.text


def test_a_new_search_shows_the_best_match_first(anybody: Browser) -> None:
    """The form sends no order that was not chosen, so the order of all products does not outlast them."""
    assert '<option value="" selected>Newest first</option>' in anybody.get("/shop/").text
    searched = anybody.get("/shop/?search=pot&ordering=").text
    assert '<option value="" selected>Best match first</option>' in searched
    assert '<option value="-created_at">Newest first</option>' in searched


@pytest.mark.parametrize("query", ["price_min=cheap", "price_min=5&price_max=2", "category=nothing", "ordering=x"])
def test_a_search_that_the_api_refuses_says_why(anybody: Browser, query: str) -> None:
    response = anybody.get(f"/shop/?{query}")
    assert response.status_code == 400
    assert 'class="notice error"' in response.text


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x>', "\u202etxt.exe", "\U0001f469\u200d\U0001f680 kettle"]
)
def test_names_are_text(site: Marketplace, anybody: Browser, name: str) -> None:
    product = site.person().list(name=name, brand=name, description=name, stock=1)
    for path in ("/shop/", f"/shop/products/{product['id']}/", f"/shop/products/{product['id']}/prices/"):
        text = anybody.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def test_a_product_that_is_not_for_sale_is_a_404(site: Marketplace, anybody: Browser) -> None:
    hidden = site.person().list(is_active=False)["id"]
    assert anybody.get(f"/shop/products/{hidden}/").status_code == 404
    assert anybody.get(f"/shop/products/{hidden}/prices/").status_code == 404


def test_a_basket_survives_the_log_in_and_becomes_an_order(
    site: Marketplace, anybody: Browser, logged_in: Callable[..., Browser]
) -> None:
    seller, person = site.person(), site.account()
    kettle, lamp = seller.list(name="Kettle", price="20.00", stock=9), seller.list(name="Lamp", price="5.00", stock=9)
    for product, quantity in ((kettle, 2), (lamp, 1)):
        page = f"/shop/products/{product['id']}/"
        found = re.search(r'name="seen_at" value="(\d+)"', anybody.get(page).text)
        assert found is not None
        fields = {"product": product["id"], "quantity": quantity, "price": product["price"], "seen_at": found[1]}
        anybody.post("/shop/basket/add/", fields, page=page)
    anybody.log_in(person.email, "a long password")
    basket = anybody.get("/shop/basket/").text
    assert "Order for $45.00" in basket
    fields = {"line": ORDER_LINE.findall(basket), "submission": "once"}
    placed = anybody.post("/shop/orders/", fields, page="/shop/basket/")
    assert placed.status_code == 303, placed.text
    again = anybody.post("/shop/orders/", fields, page="/")
    assert again.headers["location"] == placed.headers["location"]
    assert "basket" not in anybody.cookies
    order = anybody.get(placed.headers["location"]).text
    assert 'data-status="CREATED"' in order
    assert "Kettle" in order
    assert "Kettle" in anybody.get("/shop/orders/").text
    assert logged_in().get(placed.headers["location"]).status_code == 404


def test_a_price_that_is_not_held_any_more_is_shown_before_the_order(
    site: Marketplace, logged_in: Callable[..., Browser]
) -> None:
    seller, browser = site.person(), logged_in()
    product = seller.list(name="Moving", price="20.00", stock=9)["id"]
    fields = {"product": product, "quantity": 1, "price": "11.00", "seen_at": "1"}
    browser.post("/shop/basket/add/", fields, page=f"/shop/products/{product}/")
    refused = browser.post("/shop/orders/", {"line": f"{product} 1 11.00"}, page="/shop/basket/")
    assert refused.status_code == 409
    assert "A price has moved" in refused.text
    assert ORDER_LINE.findall(refused.text)[0].startswith(f"{product} 1 20.00 ")


def test_a_buyer_is_told_when_to_order_again_while_too_many_orders_are_undecided(
    site: Marketplace, logged_in: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    seller, browser = site.person(), logged_in()
    product = seller.list(name="Kettle", price="20.00", stock=9)["id"]
    fields = {"product": product, "quantity": 1, "price": "20.00", "seen_at": "1"}
    browser.post("/shop/basket/add/", fields, page=f"/shop/products/{product}/")
    monkeypatch.setattr(site.market.ordering, "refusal", lambda: OrderBacklogFull(timedelta(seconds=8)))
    fields = {"line": f"{product} 1 20.00", "submission": "once"}
    refused = browser.post("/shop/orders/", fields, page="/shop/basket/")
    assert refused.status_code == 503
    assert "Nothing was ordered: order again in 8 s." in refused.text
    # The basket is kept, and the form can be sent again.
    assert ORDER_LINE.findall(refused.text)[0].startswith(f"{product} 1 20.00 ")
    monkeypatch.undo()
    assert browser.post("/shop/orders/", fields, page="/shop/basket/").status_code == 303


def test_an_order_is_paid_or_cancelled_by_its_page(site: Marketplace, anybody: Browser) -> None:
    seller, buyer = site.person(), site.person()
    product = seller.list(name="Kettle", stock=9)["id"]
    anybody.log_in(buyer.email, "a long password")
    first, second = (site.reserve(buyer, (product, 1))["id"] for _ in range(2))
    assert "Reserved, to be paid" in anybody.get(f"/shop/orders/{first}/").text
    declined = anybody.submit(f"/shop/orders/{first}/pay/", {"payment_method": "sandbox-declined"})
    assert 'role="alert"' in declined.text
    paid = anybody.submit(f"/shop/orders/{first}/pay/").text
    assert "Thank you for your order!" in paid
    assert len(re.findall(r"\bpaid\b", re.sub(r"<[^>]*>", "", paid), re.IGNORECASE)) == 1
    assert "The order is cancelled." in anybody.submit(f"/shop/orders/{second}/cancel/").text
    answer(
        seller.send("POST", f"/orders/api/v1/{first}/refunds/", json={"lines": [{"product": product, "quantity": 1}]}),
        201,
    )
    assert "was refunded" in anybody.get(f"/shop/orders/{first}/").text


@pytest.mark.parametrize("fields", [{"product": "x"}, {"product": "7", "price": "-1"}])
def test_nothing_unknown_is_put_in_the_basket(anybody: Browser, fields: dict[str, str]) -> None:
    assert anybody.post("/shop/basket/add/", fields).headers["location"] == "/shop/"
    assert "basket" not in anybody.cookies


def test_a_quantity_that_is_no_number_keeps_the_basket(site: Marketplace, anybody: Browser) -> None:
    product = site.person().list(stock=3)["id"]
    fields = {"product": product, "quantity": "1", "price": "10.00"}
    anybody.post("/shop/basket/add/", fields)
    kept = anybody.cookies["basket"]
    anybody.post("/shop/basket/change/", {f"quantity-{product}": "many"})
    assert anybody.cookies["basket"] == kept
    anybody.post("/shop/basket/change/", {"remove": str(product)})
    assert "basket" not in anybody.cookies


def test_the_lowest_price_beside_the_button_follows_a_live_price(site: Marketplace, anybody: Browser) -> None:
    product = site.person().list(name="Pot", price="10.00")["id"]
    source = f"/shop/products/{product}/prices/"
    region = re.compile(r'data-live-region="lowest-price"([^>]*)>([^<]*)<')

    beside = region.search(anybody.get(f"/shop/products/{product}/").text)
    site.reprice(product, "8.00")
    fresh = region.search(anybody.get(source).text)

    assert beside is not None
    assert f'data-live-source="{source}"' in beside[1]
    page = anybody.get(f"/shop/products/{product}/").text
    assert f'data-live-region="current-price" data-live-source="{source}"' in page
    assert 'data-live-region="current-price"' in anybody.get(source).text
    assert f'data-live-held="{product}" data-amount="8.00"' in page
    assert fresh is not None
    assert "Lowest price of the 30 days before" in fresh[2]
