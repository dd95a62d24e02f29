"""All pages on a filled market, read by a member of staff in this process."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.http.app import create_app
from adapters.http.dependencies import Dependencies, Readiness
from adapters.system import SystemClock
from adapters.web.app import build_pages
from adapters.web.framework.page import Features, Page
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
from tests.unit.support.browser import Browser
from tests.unit.support.http_in_process import calling


@contextmanager
def reading_staff(database: str) -> Iterator[Browser]:
    """Fill an empty database; a member of staff reads, who sells more than a page of products and has orders, policies
    and all other kinds of rows.
    """
    with real_market(database, SystemClock(), order_rules=NO_QUOTAS) as market:
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
    """The path of a page, of the first object of its kind."""
    return re.sub(r"\{[^}]+\}", "1", page.path)
