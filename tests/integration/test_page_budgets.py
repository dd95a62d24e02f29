"""Every page takes few statements whatever its size, and weighs little with everything that it loads."""

import gzip
import re
from collections.abc import Callable, Iterator

import pytest

from adapters.web.app import all_pages
from adapters.web.framework.page import Page
from adapters.web.framework.static_files import files
from tests.integration.filled_pages import path_of, reading_staff
from tests.integration.recorded_statements import recorded_statements
from tests.integration.test_http_statements import of_requests
from tests.unit.support.browser import Browser

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
    with reading_staff(make_database()) as staff:
        yield staff


@pytest.mark.parametrize(
    "path", [*map(path_of, PAGES), "/shop/?search=tea&brand=A&category=8&price_min=1.00&price_max=99.00"]
)
def test_a_page_takes_few_statements(browser: Browser, path: str) -> None:
    # Row estimates and similar facts that are kept for minutes are read first.
    browser.send("GET", path)
    with recorded_statements() as statements:
        response = browser.send("GET", path)
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
