"""Every page takes few statements whatever its size, and weighs little with everything that it loads."""

import gzip
import re
from collections.abc import Callable, Iterator

import pytest

from adapters.http.app import create_app
from adapters.http.dependencies import Dependencies, Readiness
from adapters.system import SystemClock
from adapters.web.app import all_pages, build_pages
from adapters.web.framework.page import Features, Page
from adapters.web.framework.static_files import files
from adapters.web.live.hub import LiveHub
from scalecommerce_core.testing import (
    CountingIds,
    CountingWorkNotifier,
    MemoryRateLimiter,
    MemoryViewCounter,
    RecordedSecurityEvents,
)
from tests.integration.filled_market import NO_QUOTAS, PASSWORD, fill_market
from tests.integration.real_market import real_market
from tests.integration.recorded_statements import recorded_statements
from tests.integration.test_http_statements import of_requests
from tests.unit.support.browser import Browser
from tests.unit.support.http_in_process import calling

MAX_STATEMENTS = 8
MAX_PAGE_BYTES = 150_000
"""Compressed, with all styles and scripts."""
MAX_SCRIPT_BYTES = 40_000
"""All scripts of the pages together, as they are written."""
ADDRESS = re.compile(r'(?:href|src)="/static/[0-9a-f]+/([^"]+)"')
IMPORTED = re.compile(r'^import .* from "\./([^"]+)"', re.MULTILINE)
PAGES = [page for page in all_pages() if page.method == "GET"]


@pytest.fixture(scope="module")
def browser(make_database: Callable[[], str]) -> Iterator[Browser]:
    """A member of staff who sells more than a page of products and has orders, policies and all other kinds of rows."""
    with real_market(make_database(), SystemClock(), order_rules=NO_QUOTAS) as market:
        staff = fill_market(market)
        hub = LiveHub(market.queries)
        pages = build_pages(market, hub, Features(shop=True))
        dependencies = Dependencies(
            market,
            notifier=CountingWorkNotifier(),
            views=MemoryViewCounter(),
            ids=CountingIds(),
            cursor_key=b"k" * 32,
            ready=lambda: Readiness(redis="ok", oldest_undecided_seconds=None),
            security_log=RecordedSecurityEvents(),
            rate_limiter=MemoryRateLimiter(),
        )
        app = create_app(dependencies, version="1.0", pages=pages.routes)
        pages.api.app = app
        with calling(app) as client:
            browser = Browser(client)
            browser.log_in(staff.email, PASSWORD)
            # Loads the session of the browser, which later requests find in memory.
            browser.get("/")
            yield browser


def path_of(page: Page) -> str:
    return re.sub(r"\{[^}]+\}", "1", page.path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_takes_few_statements(browser: Browser, page: Page) -> None:
    # Row estimates and similar facts that are kept for minutes are read first.
    browser.send("GET", path_of(page))
    with recorded_statements() as statements:
        response = browser.send("GET", path_of(page))
    assert response.status_code in {200, 303, 404}, response.text
    made = of_requests(statements)
    # Each request of a page checks its session, because no feed of changes runs here.
    made = [sql for sql in made if "FROM sessions" not in sql]
    assert len(made) <= MAX_STATEMENTS, "\n".join(made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_is_small_with_everything_that_it_loads(browser: Browser, page: Page) -> None:
    text = browser.get(path_of(page)).text
    loaded, waiting = set(), ADDRESS.findall(text)
    while waiting:
        name = waiting.pop()
        if name not in loaded:
            loaded.add(name)
            waiting += IMPORTED.findall(files()[name].plain.decode())
    weight = len(gzip.compress(text.encode(), 5)) + sum(len(files()[name].compressed) for name in loaded)
    assert weight <= MAX_PAGE_BYTES, (weight, sorted(loaded))


def test_the_scripts_of_all_pages_are_small() -> None:
    scripts = {name: len(file.plain) for name, file in files().items() if name.endswith(".js")}
    assert scripts
    assert sum(scripts.values()) <= MAX_SCRIPT_BYTES, scripts
