"""Fixtures: the pages on in-memory adapters, and readers with and without accounts."""

from collections.abc import Callable, Iterator

import pytest

from adapters.web.framework.page import Features
from tests.unit.support.browser import Browser
from tests.unit.support.http_marketplace import PASSWORD, Marketplace, marketplace


@pytest.fixture(scope="module")
def site() -> Iterator[Marketplace]:
    """Shared by the tests of a module; each test creates its own accounts and products."""
    with marketplace(features=Features(shop=True, version="1.0")) as made:
        yield made


@pytest.fixture
def anybody(site: Marketplace) -> Browser:
    return Browser(site.client)


@pytest.fixture
def logged_in(site: Marketplace) -> Callable[..., Browser]:
    """Opens a browser that is logged in to a new account."""

    def open_browser(*, is_staff: bool = False) -> Browser:
        account, browser = site.account(is_staff=is_staff), Browser(site.client)
        browser.log_in(account.email, PASSWORD)
        return browser

    return open_browser
