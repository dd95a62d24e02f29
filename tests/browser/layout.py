"""Checks of the layout of a page."""

from typing import Final

from playwright.sync_api import Page

_TOO_WIDE: Final = """width => {
    const clips = element => element && element !== document.body && element !== document.documentElement
        && (getComputedStyle(element).overflowX !== "visible" || clips(element.parentElement));
    return [...document.querySelectorAll("body *")]
        .filter(element => element.checkVisibility() && element.getBoundingClientRect().right > width + 1)
        .filter(element => !clips(element.parentElement))
        .slice(0, 10)
        .map(element => `${element.outerHTML.split(">")[0]}> ends at ${
            Math.round(element.getBoundingClientRect().right)} px`);
}"""


def assert_no_horizontal_scroll(page: Page) -> None:
    """Fail if the page is wider than its window, with the elements that stick out."""
    size = page.viewport_size
    assert size is not None, "the page has no viewport"
    # Of body too, because one with `overflow-x: hidden` cuts off what sticks out.
    needed = page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
    sticking_out = page.evaluate(_TOO_WIDE, size["width"])
    assert needed <= size["width"], (
        f"{page.url} needs {needed} px of width, and has {size['width']} px:\n  " + "\n  ".join(sticking_out)
    )
