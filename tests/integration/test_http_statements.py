"""Every list endpoint of the served document takes as many statements for a hundred rows as for one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from adapters.http.app import create_app
from adapters.http.dependencies import Dependencies, Readiness
from adapters.system import SystemClock
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order_quotas import OrderQuotas
from scalecommerce_core.domain.webhook import MAX_ENDPOINTS
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import CreateProduct
from scalecommerce_core.services.experiments import EndExperiment, StartExperiment
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import OrderRules, PlaceOrder
from scalecommerce_core.services.pricing import MAX_POLICIES_PER_SELLER, AssignProduct
from scalecommerce_core.services.promotions import MAX_OPEN_PROMOTIONS, CreatePromotion
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.services.webhooks import ActOnEndpoint, CreateEndpoint
from scalecommerce_core.testing import (
    CountingIds,
    CountingWorkNotifier,
    MemoryRateLimiter,
    MemoryViewCounter,
    RecordedSecurityEvents,
)
from tests.integration.real_market import real_market
from tests.integration.recorded_statements import Statement, recorded_statements
from tests.unit.support.http_in_process import calling

ROWS = 110

NO_QUOTAS = OrderRules(quotas=OrderQuotas(open_orders=0))


@pytest.fixture(scope="module")
def client(make_database: Callable[[], str]) -> Iterator[httpx2.Client]:
    """A member of staff with more than a page of products, orders and all other kinds of rows."""
    with real_market(make_database(), SystemClock(), order_rules=NO_QUOTAS) as market:
        staff = _filled(market)
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
            made.headers["Authorization"] = f"Bearer {market.accounts.log_in(staff.email, 'a long password').access}"
            yield made


def _filled(market: Market) -> Account:
    people = [unwrap_single([made]) for made in market.accounts.sign_up([_person(number) for number in range(ROWS)])]
    staff, buyer = people[:2]
    price = Money(9_00, "USD")
    # Two products are bought; the stock of the others has run out.
    listed = [
        CreateProduct(staff.id, CategoryId(8), f"Tea pot {number}", price, stock=0 if number > 1 else 10**6)
        for number in range(ROWS)
    ]
    products = [unwrap_single([made]).product.id for made in market.catalog.create_products(listed)]
    ids = CountingIds()
    lines = [OrderLineRequest(product, 1) for product in products[:2]]
    market.ordering.place([PlaceOrder(ids.command(), who.id, lines) for who in (staff, buyer) for _ in range(ROWS)])
    wanted = [CreateEndpoint(staff.id, "https://example.com/hooks")] * MAX_ENDPOINTS
    hooks = [unwrap_single([made]).endpoint.id for made in market.webhooks.create(wanted)]
    market.webhooks.mark_verified(hooks)
    market.webhooks.ping([ActOnEndpoint(hooks[0], staff.id) for _ in range(ROWS)])
    _reprice(market, staff.id, products)
    _promote(market, staff.id, products)
    return staff


def _promote(market: Market, seller: AccountId, products: Sequence[ProductId]) -> None:
    """Announce a promotion of all products, and as many of the first product as are allowed."""
    start = datetime.now(UTC) + timedelta(days=1)
    for number in range(MAX_OPEN_PROMOTIONS):
        hour = start + timedelta(hours=number)
        chosen = dict.fromkeys(products[: 1 if number else None])
        sale = CreatePromotion(seller, "Sale", hour + timedelta(hours=1), hour, products=chosen)
        unwrap_single(market.promotions.create([sale]))


def _reprice(market: Market, seller: AccountId, products: Sequence[ProductId]) -> None:
    """Make one run over all products, and so many runs over the first product that the list of runs is as long as the
    others."""
    now = datetime.now(UTC)
    with market.store.begin() as tx:
        first, *_, last = ids = tx.policies.next_ids(MAX_POLICIES_PER_SELLER)
        tx.policies.add([PricingPolicy(policy_id, seller, "Mine", now) for policy_id in ids])
    whole = market.repricing.run(last)
    assert (whole.id, whole.products) == (1, len(products))
    unwrap_single(market.pricing.assign([AssignProduct(products[0], seller, first)]))
    for _ in range(ROWS):
        market.repricing.run(first, shadow=True)
    for _ in range(ROWS):
        plan = {"kind": "switchback", "weeks": 52}
        started = unwrap_single(market.experiments.start([StartExperiment(last, seller, plan)]))
        unwrap_single(market.experiments.end([EndExperiment(started.id, seller)]))


def _person(number: int) -> SignUp:
    return SignUp(f"person-{number}@example.com", "a long password", is_staff=number == 0)


def _of_requests(statements: Iterable[Statement]) -> list[str]:
    # The cache reads the visibility horizon periodically, independently of the request.
    return [sql for sql, _ in statements if "pg_snapshot_xmin" not in sql]


FILTERS = {
    "/products/api/v1/": ["", "&search=tea&facets=brand&facets=category&facets=price&category=shoes", "&ordering=price"]
}
MOST = {
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
    assert len(paged) == 15
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
                costs[rows] = len(_of_requests(statements))
            assert 0 < costs[1] == costs[most] <= 9, (path, costs)
