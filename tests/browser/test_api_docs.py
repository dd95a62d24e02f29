"""`/docs`: the API to browse, in Swagger UI."""

from playwright.sync_api import Page

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import SIZES
from tests.browser.layout import assert_no_horizontal_scroll

# What Swagger UI draws, whose markup this project cannot change: buttons within buttons, headings of the third level
# after the first, content outside of its own landmark, a list of servers whose label has no text, and pale links.
OF_SWAGGER_UI = ("#browser",)


def test_the_api_docs_are_accessible_in_both_themes_and_fit_a_narrow_screen(page: Page) -> None:
    page.goto("/docs")
    page.locator(".opblock").first.wait_for()
    assert_accessible(page, exclude=OF_SWAGGER_UI)

    # Loaded once only: Swagger UI takes seconds to draw all operations.
    width, height = SIZES["narrow"]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark")

    assert_accessible(page, exclude=OF_SWAGGER_UI)
    assert_no_horizontal_scroll(page)
