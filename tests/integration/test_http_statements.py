"""Every list endpoint of the served document takes as many statements for a hundred rows as for one."""

from collections.abc import Callable, Iterable, Iterator

import httpx2
import pytest

from adapters.http.app import create_app
from adapters.http.dependencies import Dependencies, Readiness
from adapters.system import SystemClock
from scalecommerce_core.domain.webhook import MAX_ENDPOINTS
from scalecommerce_core.services.pricing import MAX_POLICIES_PER_SELLER
from scalecommerce_core.services.promotions import MAX_OPEN_PROMOTIONS
from scalecommerce_core.testing import (
    CountingIds,
    CountingWorkNotifier,
    MemoryRateLimiter,
    MemoryViewCounter,
    RecordedSecurityEvents,
)
from tests.integration.filled_market import NO_QUOTAS, PASSWORD, fill_market
from tests.integration.real_market import real_market
from tests.integration.recorded_statements import Statement, recorded_statements
from tests.unit.support.http_in_process import calling


@pytest.fixture(scope="module")
def client(make_database: Callable[[], str]) -> Iterator[httpx2.Client]:
    """A member of staff with more than a page of products, orders and all other kinds of rows."""
    with real_market(make_database(), SystemClock(), order_rules=NO_QUOTAS) as market:
        staff = fill_market(market)
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
        with calling(create_app(dependencies, version="1.0")) as made:
            made.headers["Authorization"] = f"Bearer {market.accounts.log_in(staff.email, PASSWORD).access}"
            yield made


def of_requests(statements: Iterable[Statement]) -> list[str]:
    # The cache reads the visibility horizon periodically, independently of the request.
    return [sql for sql, _ in statements if "pg_snapshot_xmin" not in sql]


FACETS = "&search=tea&facets=brand&facets=category&facets=price&category=shoes"
FILTERS = {"/products/api/v1/": ["", FACETS, f"{FACETS}&brand=A&price_max=99.00", "&ordering=price"]}
MOST = {
    "/operations/api/v1/webhooks/": MAX_ENDPOINTS,
    "/webhooks/api/v1/": MAX_ENDPOINTS,
    "/pricing/api/v1/policies/": MAX_POLICIES_PER_SELLER,
    "/pricing/api/v1/promotions/": MAX_OPEN_PROMOTIONS,
}
"""Most rows of lists whose length is limited."""


def test_a_list_takes_as_many_statements_for_a_hundred_rows_as_for_one(client: httpx2.Client) -> None:
    described = client.get("/openapi.json").json()
    paged = [
        path
        for path, methods in described["paths"].items()
        if any(each["name"] == "page_size" for each in methods.get("get", {}).get("parameters", []))
    ]
    assert len(paged) == 21
    for path in paged:
        for filters in FILTERS.get(path, [""]):
            costs = {}
            most = MOST.get(path, 100)
            # Cache the row estimate before the statements are counted.
            client.get(f"{path.format(id=1)}?page_size=2{filters}").raise_for_status()
            for rows in (1, most):
                with recorded_statements() as statements:
                    page = client.get(f"{path.format(id=1)}?page_size={rows}{filters}").raise_for_status().json()
                assert len(page["results"]) == rows
                costs[rows] = len(of_requests(statements))
            assert 0 < costs[1] == costs[most] <= 9, (path, costs)
