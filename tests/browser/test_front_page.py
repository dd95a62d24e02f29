"""`/`: what runs here, and the way to it."""

import pytest

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import OpenPage, Screen, TakeShot, Theme
from tests.browser.keyboard import assert_keyboard_reaches_everything
from tests.browser.layout import assert_no_horizontal_scroll


@pytest.mark.parametrize(("theme", "locale"), [("light", "ru"), ("dark", "en")])
def test_the_front_page_is_accessible(open_page: OpenPage, theme: Theme, locale: str) -> None:
    page = open_page("/", theme=theme, locale=locale)

    assert page.locator("html").get_attribute("lang") == locale
    assert_accessible(page)


@pytest.mark.parametrize("screen", ["phone", "narrow"])
def test_the_front_page_fits_a_small_screen(open_page: OpenPage, screen: Screen) -> None:
    page = open_page("/", screen=screen)

    assert_no_horizontal_scroll(page)


def test_the_front_page_works_by_keyboard(open_page: OpenPage) -> None:
    page = open_page("/")

    assert assert_keyboard_reaches_everything(page) > 0


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
