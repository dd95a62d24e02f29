"""The checks of this directory fail when they should, and only then."""

import re
from textwrap import dedent

import pytest
from playwright.sync_api import Page, Route

from tests.browser.accessibility import assert_accessible
from tests.browser.conftest import SIZES, OpenPage
from tests.browser.keyboard import assert_keyboard_reaches_everything
from tests.browser.layout import assert_no_horizontal_scroll
from tests.browser.page_faults import PageFaults
from tests.browser.screenshots import ALLOWED, Levels, capture, differing, thumbnail
from tests.integration.engine_process import EngineProcess

POLICY = "default-src 'none'; script-src 'unsafe-inline'; img-src * data:"


def show(page: Page, body: str, *, status: int = 200) -> None:
    """Show a document at a URL of the engine's origin, under a Content-Security-Policy."""

    def answer(route: Route) -> None:
        route.fulfill(
            status=status,
            headers={"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY},
            body=f'<!doctype html><html lang="en"><title>X</title><link rel="icon" href="data:,"><main>{body}</main>',
        )

    page.route("**/made-up-page", answer)
    page.goto("/made-up-page")


@pytest.mark.parametrize(
    ("body", "pattern"),
    [
        ("<script>console.error('no price')</script>", "^console: no price"),
        ("<script>missing()</script>", "^script: .*missing is not defined"),
        ("<p style='color: red'>x</p>", "^policy: style-src-attr forbids inline"),
        ("<img src='/no-such-picture.png' alt='x'>", "^console: .*status of 404.*no-such-picture"),
        ("<img src='http://127.0.0.1:9/x.png' alt='x'>", "^origin: GET http://127.0.0.1:9/x.png leaves"),
        ("<img src='http://127.0.0.1:9/x.png' alt='x'>", "^request: net::ERR_UNSAFE_PORT"),
    ],
)
def test_a_fault_of_a_page_is_found(page: Page, faults: PageFaults, body: str, pattern: str) -> None:
    show(page, body)
    faults.settle(page)

    found = faults.problems()
    faults.expect("")  # all of them, at the end of this test

    assert any(re.search(pattern, fault) for fault in found), found


def test_a_failed_page_is_a_fault_unless_the_test_expects_it(page: Page, faults: PageFaults) -> None:
    show(page, "<h1>No</h1>", status=422)
    faults.settle(page)
    found = faults.problems()

    faults.expect("status of 422")

    assert len(found) == 1
    assert not faults.problems()


def test_a_page_may_have_the_cookies_of_another(open_page: OpenPage, engine: EngineProcess) -> None:
    first = open_page()
    first.context.add_cookies([{"name": "session", "value": "s1", "url": engine.url}])

    sent = [open_page(cookies_of=other).context.cookies() for other in (first, None)]

    assert [[cookie.get("value") for cookie in cookies] for cookies in sent] == [["s1"], []]


def test_an_inaccessible_button_is_named_with_its_rule(page: Page) -> None:
    show(page, "<h1>A</h1><button id='empty'></button>")

    with pytest.raises(AssertionError, match=r"button-name \(critical\)[^#]+#empty"):
        assert_accessible(page)
    assert_accessible(page, exclude=["#empty"])


def test_an_element_wider_than_the_screen_is_named(open_page: OpenPage) -> None:
    page = open_page(screen="narrow")
    page.set_content("<!doctype html><table id='wide' style='width: 500px'><tr><td>x</table>")

    with pytest.raises(AssertionError, match=r'needs 5\d\d px .*\n.*<table id="wide"'):
        assert_no_horizontal_scroll(page)


def test_a_wide_table_may_scroll_in_its_own_frame(open_page: OpenPage) -> None:
    page = open_page(screen="narrow")
    page.set_content("<div style='overflow-x: auto'><table style='width: 500px'><tr><td>x</table></div>")

    assert_no_horizontal_scroll(page)


def test_tab_reaches_all_that_is_visible_and_enabled(page: Page) -> None:
    page.set_content(
        dedent("""
        <a href="#top">link</a> <button>button</button> <input aria-label="field"> <input type="hidden">
        <button disabled>disabled</button> <button hidden>hidden</button> <div inert><button>inert</button></div>
        <label><input type="radio" name="size">S</label> <label><input type="radio" name="size" checked>L</label>
        <style>#drawn:focus + label { outline: 2px solid } #drawn { opacity: 0; outline: none }</style>
        <input type="checkbox" id="drawn"><label for="drawn">drawn by its label</label>
        <details><summary>more</summary><a href="#closed">closed</a></details>
        <input type="date" aria-label="day"> <input type="datetime-local" step="1" aria-label="time">
        <a href="#">last</a>
        """)
    )

    assert assert_keyboard_reaches_everything(page) == 9


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<div onclick='x()'>buy</div>", "buy: cannot get the focus"),
        ("<button style='outline: none'>buy</button>", "buy: looks the same with the focus"),
        ("<button style='position: absolute; left: -999px'>buy</button>", "buy: is outside the window"),
        ("<button onkeydown='event.preventDefault()'>buy</button>", "buy: keeps the focus"),
        ("<input type='date' onkeydown='event.preventDefault()'>", '<input type="date".*: keeps the focus'),
        ("<button onfocus='this.nextSibling.focus()'>buy</button><button>sell</button><a href='#a'>last</a>", None),
        (
            "<button>sell</button><a href='#a' onfocus='this.previousSibling.focus()'>skipped</a>",
            "sell: keeps the focus",
        ),
    ],
)
def test_what_the_keyboard_cannot_use_is_named(page: Page, body: str, fault: str | None) -> None:
    page.set_content(f"<button>first</button>{body}")

    with pytest.raises(AssertionError, match=fault or "buy: Tab does not reach it"):
        assert_keyboard_reaches_everything(page)


CARDS = """
<style>
  body {{ margin: 0; font: 16px/1.5 {font}; color: {ink}; background: {page}; }}
  header, section {{ margin: 24px; padding: 16px; border: 1px solid #888; }}
  div {{ display: grid; grid-template-columns: repeat(3, 1fr); }}
</style>
<header><h1>Copper kettle</h1><p>A kettle of copper, with a handle of wood, which whistles as soon as it boils.</header>
<div>
  <section><h2>Price</h2><p>It is 20.00 EUR today, and was 36.00 EUR last week.</section>
  <section id="second"><h2>Sales</h2><p>There were 31 sales this week, and 12 in the week before.</section>
  <section><h2>Stock</h2><p>There are 48 pieces left, which last about eleven days.</section>
</div>
"""


def picture(page: Page, blank: Page, *, font: str = "sans-serif", ink: str = "#222", back: str = "#fff") -> Levels:
    page.set_content(CARDS.format(font=font, ink=ink, page=back))
    return thumbnail(capture(page), *SIZES["desktop"], blank)


@pytest.mark.parametrize("font", ["serif", "monospace"])
def test_another_font_does_not_change_a_picture(page: Page, blank: Page, font: str) -> None:
    assert differing(picture(page, blank), picture(page, blank, font=font)).mean() <= ALLOWED


def test_a_line_more_does_not_change_a_picture(page: Page, blank: Page) -> None:
    usual = picture(page, blank)
    page.locator("header p").evaluate("paragraph => paragraph.append(document.createElement('br'), 'It is new.')")

    assert differing(usual, thumbnail(capture(page), *SIZES["desktop"], blank)).mean() <= ALLOWED


def test_a_missing_card_and_another_theme_change_a_picture(page: Page, blank: Page) -> None:
    usual = picture(page, blank)
    dark = picture(page, blank, ink="#eee", back="#111")
    page.locator("#second").evaluate("card => card.style.visibility = 'hidden'")
    gap = thumbnail(capture(page), *SIZES["desktop"], blank)

    assert differing(usual, dark).mean() > 0.5
    assert differing(dark, gap).mean() > ALLOWED
