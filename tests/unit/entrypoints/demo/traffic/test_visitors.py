"""Simulated visitors against a minimal API."""

import json
import logging
import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from attrs import fields

from adapters.http.view_tracking import ViewTracker
from entrypoints.demo.traffic.demo_products import DEMO_PRODUCTS, Demand
from entrypoints.demo.traffic.pacing import Pacer
from entrypoints.demo.traffic.plan import TrafficPlan
from entrypoints.demo.traffic.visitors import ApiUnavailable, BuyerClient, Visitor
from entrypoints.settings import Settings
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.testing import MemoryViewCounter


class Api(HTTPServer):
    """Records requests. Responds to a path with its `answers` in order, and repeats the last one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[tuple[str, str, dict[str, str], Any]] = []
        self.answers: dict[str, list[tuple[int, Any]]] = {
            "/products/api/v1/7/": [(200, {"id": 7, "price": "20.00", "currency": "USD"})],
            "/users/api/v1/token/": [(200, {"access": "t1"}), (200, {"access": "t2"})],
            "/orders/api/v1/": [(201, {"id": 5, "status": "PENDING"})],
            "/orders/api/v1/5/pay/": [(200, {"id": 5, "status": "PAID"})],
        }


class _Handler(BaseHTTPRequestHandler):
    # Headers and body are written separately: with Nagle's algorithm each response takes 40 ms.
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"
    server: Api

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, *_said: object) -> None:
        pass

    def _answer(self, body: object) -> None:
        self.server.heard.append((self.command, self.path, dict(self.headers), body))
        turns = self.server.answers[self.path]
        status, document = turns.pop(0) if len(turns) > 1 else turns[0]
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(api: Api) -> Iterator[BuyerClient]:
    client = BuyerClient("127.0.0.1", api.server_port, "ann@seed-1.example", "admin")
    yield client
    client.close()


def visitor(client: BuyerClient, *, buys: bool, stop: threading.Event | None = None, rate: float = 1e6) -> Visitor:
    demand = Demand(cost=1, spread=100, share_at_best=1e9 if buys else 0.0)
    return Visitor(
        client,
        [(7, demand)],
        Pacer(rate, random.Random(1)),
        stop or threading.Event(),
        random.Random(1),
        retry_delay=0.0,
    )


def test_a_visitor_who_does_not_buy_only_views(api: Api, client: BuyerClient) -> None:
    someone = visitor(client, buys=False)
    someone.visit()
    assert [(method, path) for method, path, _, _ in api.heard] == [("GET", "/products/api/v1/7/")]
    assert (someone.counts.views, someone.counts.orders, someone.counts.paid) == (1, 0, 0)


def test_each_visit_counts_as_a_view_of_a_new_visitor(api: Api, client: BuyerClient) -> None:
    someone, views, visits = visitor(client, buys=False), MemoryViewCounter(window=timedelta(days=1)), 50
    looks = ViewTracker(views, str(fields(Settings).view_bots.default).split(","))
    for _ in range(visits):
        someone.visit()
    for _, _, headers, _ in api.heard:
        agent = (b"user-agent", headers["User-Agent"].encode())
        scope = {"type": "http", "method": "GET", "headers": [agent], "client": ("127.0.0.1", 1)}
        looks.record_view(scope, None, ProductId(7), AccountId(1))
    batch = views.next_batch()
    assert batch is not None
    assert sum(batch.counts.values()) == visits


def test_a_visitor_who_buys_orders_at_the_seen_price_and_pays(api: Api, client: BuyerClient) -> None:
    someone = visitor(client, buys=True)
    someone.visit()
    paths = [path for _, path, _, _ in api.heard]
    assert paths == [
        "/products/api/v1/7/", "/users/api/v1/token/", "/orders/api/v1/", "/orders/api/v1/5/pay/",
    ]  # fmt: skip
    _, _, headers, order = api.heard[2]
    assert order == {"order_item": [{"product": 7, "quantity": 1, "price": "20.00"}]}
    assert headers["Authorization"] == "Bearer t1"
    assert headers["Prefer"] == "wait=10"
    assert (someone.counts.views, someone.counts.orders, someone.counts.paid) == (1, 1, 1)


def test_a_token_that_has_expired_is_renewed(api: Api, client: BuyerClient) -> None:
    api.answers["/orders/api/v1/"].insert(0, (401, {}))
    assert client.order_and_pay(7, Money(20_00, "USD")) is True
    assert [headers["Authorization"] for _, path, headers, _ in api.heard if path == "/orders/api/v1/"] == [
        "Bearer t1",
        "Bearer t2",
    ]


@pytest.mark.parametrize(
    "answer", [(409, {"code": "price_changed"}), (201, {"id": 5, "status": "REJECTED"}), (202, {"id": 5})]
)
def test_a_rejected_order_is_not_paid(api: Api, client: BuyerClient, answer: tuple[int, Any]) -> None:
    api.answers["/orders/api/v1/"] = [answer]
    assert client.order_and_pay(7, Money(20_00, "USD")) is None
    assert api.heard[-1][1] == "/orders/api/v1/"


def test_a_failed_payment_is_not_an_error(api: Api, client: BuyerClient) -> None:
    api.answers["/orders/api/v1/5/pay/"] = [(402, {})]
    assert client.order_and_pay(7, Money(20_00, "USD")) is False


def test_an_unavailable_engine_raises(client: BuyerClient, api: Api) -> None:
    api.answers["/orders/api/v1/"] = [(503, {})]
    with pytest.raises(ApiUnavailable, match="503"):
        client.order_and_pay(7, Money(20_00, "USD"))
    api.answers["/products/api/v1/7/"] = [(404, {})]
    with pytest.raises(ApiUnavailable, match="404"):
        client.view_product(7, "somebody")


def test_an_outage_is_logged_once_and_visits_continue(
    api: Api, client: BuyerClient, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    api.answers["/products/api/v1/7/"] = [(503, {})] * 5 + api.answers["/products/api/v1/7/"]
    someone = visitor(client, buys=False, stop=stop)
    with caplog.at_level(logging.WARNING):
        someone.start()
        while not someone.counts.views:
            stop.wait(0.01)
        stop.set()
        someone.join()
    assert [record.message for record in caplog.records] == [
        "the demo's visitors pause: A product was answered with 503."
    ]


def test_a_plan_can_be_serialized() -> None:
    plan = TrafficPlan(
        {product.key: number for number, product in enumerate(DEMO_PRODUCTS, 500)}, ["a@seed-1.example"], "admin"
    )
    assert TrafficPlan.from_text(plan.to_text()) == plan
    assert plan.demands == [(500 + number, product.demand) for number, product in enumerate(DEMO_PRODUCTS)]
