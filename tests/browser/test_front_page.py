"""`/`: what runs here, and the way to it."""

import pytest

from tests.browser.conftest import OpenPage, Screen, TakeShot, Theme


def test_the_front_page_works_without_javascript(open_page: OpenPage) -> None:
    page = open_page("/", javascript=False)

    page.get_by_role("link", name="docs").first.click()

    assert page.url.endswith("/docs")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_the_front_page_looks_as_it_should(open_page: OpenPage, shot: TakeShot, theme: Theme, screen: Screen) -> None:
    page = open_page("/", theme=theme, screen=screen)

    shot(page, "front-page", mask=("table.moving",))


def test_one_click_logs_in_to_the_demo(open_page: OpenPage) -> None:
    page = open_page("/", javascript=False)

    page.get_by_role("button", name="Log in as the buyer").click()

    assert page.url.endswith("/shop/")
    assert page.get_by_role("button", name="Log out").is_visible()
