"""The buyer's tour: search, a product with a moving price, the basket, an order, its payment."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import OpenPage, TakeShot, Theme


def log_in_as_buyer(open_page: OpenPage, *, javascript: bool = True) -> Page:
    page = open_page("/", javascript=javascript)
    page.get_by_role("button", name="Log in as the buyer").click()
    return page


def buy(page: Page, name: str, quantity: int) -> None:
    page.get_by_label("Search the shop").fill(name)
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("link", name=name).first.click()
    page.get_by_label("Quantity").fill(str(quantity))
    page.get_by_role("button", name="Add to the basket").click()


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "no javascript"])
def test_a_buyer_buys(open_page: OpenPage, shot: TakeShot, *, javascript: bool) -> None:
    page = log_in_as_buyer(open_page, javascript=javascript)
    buy(page, "Copper kettle", 2)
    page.get_by_role("link", name="Products").click()
    buy(page, "Garden chair", 1)
    if javascript:
        shot(page, "shop-basket", compared=False)
    page.get_by_role("button", name=re.compile("^Order for")).click()
    # The decision appears by itself; without scripts the reader loads the page again.
    pay = page.get_by_role("button", name="Pay", exact=True)
    for _ in range(20):
        if javascript or pay.count():
            break
        page.get_by_role("link", name="Check again").click()
    expect(pay).to_be_visible(timeout=20_000)
    page.get_by_label("Payment").select_option("sandbox-declined")
    pay.click()
    expect(page.get_by_role("alert")).to_contain_text("declined")
    pay.click()
    expect(page.get_by_text("Thank you for your order!")).to_be_visible()
    page.get_by_role("link", name="My orders").first.click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("Copper kettle")


def test_sliders_set_the_range_of_prices(open_page: OpenPage) -> None:
    page = open_page("/shop/")
    low = page.get_by_role("slider", name="Lowest price")
    low.focus()
    low.press("ArrowRight")
    low.press("ArrowRight")
    assert page.get_by_label("from").input_value() == "25.00"
    page.get_by_role("button", name="Apply filters").click()
    assert "price_min=25.00" in page.url


def test_suggestions_are_names_of_products(open_page: OpenPage) -> None:
    page = open_page("/shop/")
    page.get_by_role("combobox", name="Search the shop").press_sequentially("kett")
    expect(page.locator("#suggestions option").first).to_have_attribute("value", re.compile("ettle"))


def test_the_price_moves_while_the_page_is_open(open_page: OpenPage) -> None:
    page = open_page("/shop/products/501/")
    price = page.locator(".big-price .live-price")
    shown = price.inner_text()
    expect(price).not_to_have_text(shown, timeout=90_000)


def test_an_older_answer_does_not_replace_a_newer_price(open_page: OpenPage) -> None:
    page = open_page("/")
    held: list[Route] = []
    body = (
        '<!doctype html><html lang="en"><title>X</title><link rel="icon" href="data:,"><p data-live-region="price">{}'
    )

    def show(route: Route, price: str) -> None:
        route.fulfill(content_type="text/html; charset=utf-8", body=body.format(price))

    page.route("**/made-up-page", lambda route: show(route, "first"))
    page.goto("/made-up-page")
    page.unroute("**/made-up-page")
    page.route("**/made-up-page", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks its handlers
    for name in ("older", "newer"):
        begun = len(held)
        page.evaluate(f"import('/static/-/live.js').then(live => {{ window.{name} = live.refresh(() => {{}}); }})")
        while len(held) == begun:  # The request follows a pause.
            page.wait_for_timeout(20)
    price = page.locator("[data-live-region=price]")
    show(held[1], "newer")
    page.evaluate("window.newer")
    expect(price).to_have_text("newer")
    show(held[0], "older")
    page.evaluate("window.older")
    expect(price).to_have_text("newer")


def test_the_link_of_an_email_fills_in_its_token(open_page: OpenPage) -> None:
    page = open_page("/reset-password#token=abc-_1")
    assert page.get_by_label("Link or token").input_value() == "abc-_1"
    assert "abc" not in page.url


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_search_looks_as_it_should(open_page: OpenPage, shot: TakeShot, theme: Theme) -> None:
    shot(open_page("/shop/?ordering=created_at", theme=theme), "shop", mask=(".live-price", ".badges"))
