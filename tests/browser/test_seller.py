"""The seller's tour: the mispriced product, why the engine moves its price, and the rollback of one run."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, TakeShot


def log_in_as_seller(open_page: OpenPage, *, javascript: bool = True) -> Page:
    page = open_page("/", javascript=javascript)
    page.get_by_role("button", name="Log in as the seller").click()
    return page


def preview_rollback_of_last_move(page: Page) -> None:
    """From the price page, open the rollback of the run of the last move, when there is one whose price is in force."""
    price_page, site = page.url, re.sub(r"(//[^/]+)/.*", r"\1", page.url)
    for _ in range(40):
        run = page.locator("[data-live-region=moves]").get_by_role("link", name=re.compile("^Run "))
        if run.count():
            page.goto(f"{site}{run.first.get_attribute('href')}")
            expect(page.get_by_role("heading", name="What changed and why")).to_be_visible()
            if page.get_by_role("link", name="Roll back …").count():
                page.get_by_role("link", name="Roll back …").click()
                if page.get_by_role("button", name="Roll back now").count():
                    return
        page.wait_for_timeout(2_000)
        page.goto(price_page)
    pytest.fail("No run moved the price.")


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "no javascript"])
def test_a_seller_sees_why_a_price_moves_and_rolls_a_run_back(
    open_page: OpenPage, shot: TakeShot, *, javascript: bool
) -> None:
    page = log_in_as_seller(open_page, javascript=javascript)
    page.goto(re.sub(r"(//[^/]+)/.*", r"\1/seller/products/", page.url))
    page.get_by_role("link", name="Copper kettle").first.click()
    expect(page.get_by_role("heading", name="Why this price")).to_be_visible()
    expect(page.get_by_role("heading", name="Profit per week at each price")).to_be_visible()
    if javascript:
        shot(page, "seller-price", compared=False)
    preview_rollback_of_last_move(page)
    expect(page.get_by_role("link", name="Copper kettle")).to_be_visible()
    expect(page.get_by_role("button", name="Stop the policy first")).to_be_visible()
    page.get_by_role("button", name="Roll back now").click()
    expect(page.get_by_text("The run is being rolled back: ")).to_be_visible()
    if javascript:
        expect(page.get_by_text("Rolled back at", exact=True)).to_be_visible(timeout=30_000)
