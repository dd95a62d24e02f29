"""The routes of the pages."""

from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen
from starlette.routing import BaseRoute, Route

from adapters.web.framework.browser_sessions import BrowserSessions
from adapters.web.framework.endpoint import Api, page_routes, unknown_page_routes
from adapters.web.framework.page import Features, Page
from adapters.web.framework.static_files import ROOT, serve_static_file
from adapters.web.live.hub import LiveHub
from adapters.web.live.stream import DEFAULT_STREAM_LIMITS, LiveStreams, StreamLimits
from adapters.web.pages.account import own_account_pages
from adapters.web.pages.accounts import account_pages
from adapters.web.pages.admin import admin_pages
from adapters.web.pages.seller import seller_pages
from adapters.web.pages.shop import shop_pages
from adapters.web.pages.start import start_pages
from scalecommerce_core.services.market import Market

SECTIONS: Final[Sequence[Callable[[], list[Page]]]] = (
    account_pages,
    own_account_pages,
    start_pages,
    seller_pages,
    shop_pages,
    admin_pages,
)
"""Functions that return the pages of a section."""
PREFIXES: Final = ("/admin/", "/seller/", "/shop/")
"""Below these, unknown paths are answered by a page."""


def all_pages() -> list[Page]:
    return [page for section in SECTIONS for page in section()]


@frozen
class WebPages:
    """The pages of one process: their routes, and the application that answers their calls of the API."""

    routes: Sequence[BaseRoute]
    api: Api
    """Its `app` must be set before the first request."""
    streams: LiveStreams


def build_pages(
    market: Market, hub: LiveHub, features: Features, limits: StreamLimits = DEFAULT_STREAM_LIMITS
) -> WebPages:
    """Build the routes of all pages."""
    api, browser_sessions = Api(), BrowserSessions(market.sessions, market.clock.now)
    pages = [page for page in all_pages() if features.shop or not page.path.startswith("/shop/")]
    streams = LiveStreams(hub, api, browser_sessions, features, limits)
    return WebPages(
        [
            *page_routes(pages, api, browser_sessions, features),
            Route(f"{ROOT}{{digest}}/{{name:path}}", serve_static_file),
            Route("/live/", streams),
            *unknown_page_routes(PREFIXES, api, browser_sessions, features),
        ],
        api,
        streams,
    )
