"""The HTTP API on in-memory adapters, with clients for accounts."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

from attrs import define, field
from httpx2 import Client, Response

from adapters.http.app import create_app
from adapters.http.dependencies import Dependencies, Readiness
from adapters.http.execution.time_limit import DEFAULT_COMMAND_SECONDS
from adapters.http.framework.middleware import DEFAULT_POLICY, RequestPolicy
from adapters.web.app import build_pages
from adapters.web.framework.page import Features
from adapters.web.live.hub import LiveHub, SharedFeed
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.product_views import NO_CAPS, ViewCaps
from scalecommerce_core.ports import WorkNotifier
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.ordering import OrderRules
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import (
    CountingIds,
    CountingWorkNotifier,
    MemoryCatalogFeed,
    MemoryGateway,
    MemoryRateLimiter,
    MemoryStore,
    MemoryViewCounter,
    RecordedSecurityEvents,
    SettableClock,
    in_memory_market,
)
from tests.unit.support.http_in_process import calling
from tests.unit.support.openapi_promises import checker

USERS = "/users/api/v1/"
PRODUCTS = "/products/api/v1/"
ORDERS = "/orders/api/v1/"
PASSWORD = "a long password"


def problem(response: Response, status: int, *fields: str) -> Any:
    """The problem document of a response, after checks of its status and its field errors."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["detail"]
    assert tuple(document.get("errors", {})) == fields, response.text
    return document


def answer(response: Response, status: int = 200) -> Any:
    """The JSON of a response, after a check of its status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


@define
class Visitor:
    """A client, authenticated if it has a `token`."""

    client: Client
    token: str | None = None

    def send(self, method: str, path: str, **more: Any) -> Response:
        headers = dict(more.pop("headers", None) or {})
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if (document := more.pop("json", None)) is not None:
            # Escaped, since the encoder of the client rejects lone surrogates.
            more["content"] = json.dumps(document).encode()
            headers.setdefault("Content-Type", "application/json")
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Response:
        return self.send("GET", path, **more)

    def post(self, path: str, document: Any = None, **more: Any) -> Response:
        return self.send("POST", path, json=document, **more)

    def put(self, path: str, document: Any, **more: Any) -> Response:
        return self.send("PUT", path, json=document, **more)

    def patch(self, path: str, document: Any, **more: Any) -> Response:
        return self.send("PATCH", path, json=document, **more)

    def delete(self, path: str, **more: Any) -> Response:
        return self.send("DELETE", path, **more)


@define(kw_only=True)
class Person(Visitor):
    """A client with an account, and methods for frequent requests."""

    id: int
    email: str
    refresh: str
    token: str

    def list(self, **fields: Any) -> Any:
        return answer(self.post(PRODUCTS, {"name": "Tea pot", "category_id": 1, "price": "10.00"} | fields), 201)

    def place(self, *items: tuple[int, int]) -> Any:
        """Place an order of (product, quantity) pairs; its status is CREATED."""
        wanted = {"order_item": [{"product": product, "quantity": quantity} for product, quantity in items]}
        return answer(self.post(ORDERS, wanted), 202)

    def act(self, order: Any, action: str, body: Any = None) -> Response:
        return self.post(f"{ORDERS}{order['id']}/{action}/", body)

    def see(self, order: Any) -> Any:
        return answer(self.get(f"{ORDERS}{order['id']}/"))


@define
class Marketplace:
    """A market with its adapters. Time is constant unless a test advances `clock`."""

    market: Market
    clock: SettableClock
    views: MemoryViewCounter
    client: Client
    gateway: MemoryGateway
    security_log: RecordedSecurityEvents
    _names: Iterator[int] = field(factory=lambda: itertools.count(1))

    @property
    def anybody(self) -> Visitor:
        return Visitor(self.client)

    def account(self, email: str | None = None, *, is_staff: bool = False, **profile: Any) -> Account:
        email = email or f"person-{next(self._names)}@example.com"
        return unwrap_single(self.market.accounts.sign_up([SignUp(email, PASSWORD, is_staff=is_staff, **profile)]))

    def person(self, email: str | None = None, *, is_staff: bool = False, **profile: str) -> Person:
        account = self.account(email, is_staff=is_staff, **profile)
        pair = self.market.accounts.log_in(account.email, PASSWORD)
        return Person(self.client, id=account.id, email=account.email, refresh=pair.refresh, token=pair.access)

    def reserve(self, buyer: Person, *items: tuple[int, int]) -> Any:
        """Place an order and decide it."""
        order = buyer.place(*items)
        self.market.ordering.decide()
        return buyer.see(order)

    def sell(self, buyer: Person, *items: tuple[int, int]) -> Any:
        """Place an order, decide it and pay for it."""
        return answer(buyer.act(self.reserve(buyer, *items), "pay"))

    def reprice(self, product: int, price: str) -> None:
        """Change the price as a pricing policy does: without an edit."""
        with self.market.store.begin() as tx:
            found = tx.products.lock([ProductId(product)])[ProductId(product)]
            found.reprice(Money.of(price, found.price.currency), self.clock.now(), PriceCause.POLICY)
            tx.products.save([found])

    def flush_views(self) -> None:
        while (batch := self.views.next_batch()) is not None:
            self.market.catalog.record_views(batch)
            self.views.acknowledge(batch.id)


class DecideAtOnce:
    """A notifier that decides orders immediately, in place of a worker."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def orders_placed(self) -> None:
        self._market.ordering.decide()


def all_is_well() -> Readiness:
    return Readiness(redis="ok", oldest_undecided_seconds=None)


@cache
def _check_of_problems(currency: str) -> Callable[[Response], None]:
    """Every test on a marketplace also tests that problems are those that the document names."""
    dependencies = Dependencies(
        in_memory_market(SettableClock(), currency=currency),
        notifier=CountingWorkNotifier(),
        views=MemoryViewCounter(SettableClock()),
        ids=CountingIds(),
        cursor_key=b"k" * 32,
        ready=all_is_well,
        security_log=RecordedSecurityEvents(),
        rate_limiter=MemoryRateLimiter(),
    )
    with calling(create_app(dependencies, version="1.0")) as client:
        return checker(client.get("/openapi.json").json())


@contextmanager
def marketplace(
    *,
    readiness: Callable[[], Readiness] = all_is_well,
    notifier: Callable[[Market], WorkNotifier] = lambda _market: CountingWorkNotifier(),
    rebuilt: Callable[[Market], Market] = lambda market: market,
    intake_queue: int = 2000,
    view_window: timedelta = timedelta(),
    view_caps: ViewCaps = NO_CAPS,
    bots: Sequence[str] = (),
    seller_email_public: bool = False,
    currency: str = "USD",
    policy: RequestPolicy = DEFAULT_POLICY,
    require_verified_email: bool = False,
    require_staff_second_factor: bool = False,
    features: Features | None = None,
    command_seconds: float = DEFAULT_COMMAND_SECONDS,
    order_rules: OrderRules | None = None,
) -> Iterator[Marketplace]:
    """Create a market with its HTTP client; `rebuilt` may replace parts of the market. With `features`, the application
    has pages too.
    """
    clock, gateway = SettableClock(), MemoryGateway()
    views = MemoryViewCounter(clock, window=view_window, caps=view_caps)
    memory, security_log = MemoryStore(), RecordedSecurityEvents()
    market = rebuilt(
        in_memory_market(
            clock,
            memory=memory,
            gateway=gateway,
            currency=currency,
            require_verified_email=require_verified_email,
            require_staff_second_factor=require_staff_second_factor,
            order_rules=order_rules,
        )
    )
    hub = LiveHub(market.queries)
    pages = None if features is None else build_pages(market, hub, features)
    dependencies = Dependencies(
        market,
        notifier=notifier(market),
        views=views,
        ids=CountingIds(),
        cursor_key=b"k" * 32,
        ready=readiness,
        security_log=security_log,
        rate_limiter=MemoryRateLimiter(),
        intake_queue=intake_queue,
        bots=bots,
        feed=SharedFeed(MemoryCatalogFeed(memory), [hub]),
        seller_email_public=seller_email_public,
        command_seconds=command_seconds,
    )
    app = create_app(
        dependencies, version="1.0", policy=policy, on_start=hub.start, pages=() if pages is None else pages.routes
    )
    if pages is not None:
        pages.api.app = app
    with calling(app) as client:
        if pages is None:
            client.event_hooks["response"].append(_check_of_problems(currency))
        yield Marketplace(market, clock, views, client, gateway, security_log)
