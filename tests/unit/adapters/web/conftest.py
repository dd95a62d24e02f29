"""Fixtures: the pages on in-memory adapters, and readers with and without accounts."""

import logging
from collections.abc import Callable, Iterator

import pytest

from adapters.web.framework import api_messages
from adapters.web.framework.languages import Language, load
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


@pytest.fixture(autouse=True)
def no_untranslated_messages(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test whose page shows a message of the API that the Russian catalogue lacks, in any language."""
    translated = Language.translated

    def check(language: Language, text: str | None) -> str:
        translated(load("ru"), text)
        return translated(language, text)

    monkeypatch.setattr(Language, "translated", check)
    caplog.set_level(logging.INFO, logger=api_messages.__name__)
    yield
    assert not [record.getMessage() for record in caplog.get_records("call") if record.name == api_messages.__name__]
