"""Traces of a deployment, received by OTLP over HTTP."""

import gzip
import json
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define, field, frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from adapters.db.core.engine import database_engine
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.ports import Tracing
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage
from tests.integration.deployment import Deployment
from tests.integration.engine_process import eventually, run
from tests.integration.receiver import answering, receiving

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@frozen
class Received:
    """A span, and the name of the service that sent it."""

    service: str
    span: Span

    @property
    def attributes(self) -> dict[str, Any]:
        return {
            each.key: each.value.int_value if each.value.HasField("int_value") else each.value.string_value
            for each in self.span.attributes
        }

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def links(self) -> set[str]:
        return {link.span_id.hex() for link in self.span.links}


@define
class Collector:
    url: str
    spans: list[Received] = field(factory=list)
    headers: list[dict[str, str]] = field(factory=list)

    def find(self, name: str, **more: str) -> Received:
        """Wait for a span with this name, in the given trace, of the given service or with the given parent."""

        def look() -> Received | None:
            return next(
                (
                    each
                    for each in list(self.spans)
                    if each.span.name == name and all(getattr(each, key) == value for key, value in more.items())
                ),
                None,
            )

        return eventually(look, f"a span {name} {more}, among {[each.span.name for each in self.spans]}")


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            got.headers.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                got.spans += [
                    Received(names["service.name"], span) for scope in resource.scope_spans for span in scope.spans
                ]
            answering(200)(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    got = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield got
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@contextmanager
def traced_deployment(
    tmp_path: Path, redis_url: str, database: str, collector: Collector, *, decide_at_intake: bool
) -> Iterator[Deployment]:
    settings: Any = {
        "DECIDE_AT_INTAKE": str(decide_at_intake),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-token=collector%20s3cret",
        # Spans of health checks and of the preparation are not of interest: only traces that a client records are.
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "WEBHOOKS_ALLOW_LOOPBACK": "1",
        "LOG_LEVEL": "INFO",
    }
    with Deployment(tmp_path, database, redis_url, **settings) as deployment:
        yield deployment


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str, database: str, collector: Collector) -> Iterator[Deployment]:
    """Workers decide its orders."""
    with traced_deployment(tmp_path, redis_url, database, collector, decide_at_intake=False) as deployment:
        yield deployment


def place_traced(deployment: Deployment) -> int:
    """Place an order, wait for its decision, and return its number."""
    client = deployment.person("buyer")
    product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 100}
    number = client.post("/products/api/v1/", json=product).json()["id"]
    placed = client.post(
        "/orders/api/v1/",
        json={"order_item": [{"product": number, "quantity": 1}]},
        headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "Prefer": "wait=20"},
    )
    assert placed.status_code == 201, placed.text
    return int(placed.json()["id"])


class ClaimedTraces:
    """`Tracing` of a market whose requests are all traced; keeps the orders that are reported as claimed."""

    def __init__(self) -> None:
        self.claimed: list[OrderId] = []

    def requests_of(self, orders: Collection[Order]) -> Mapping[OrderId, str]:
        return {order.id: f"00-{TRACE}-{PARENT}-01" for order in orders}

    def orders_claimed(self, requests: Mapping[OrderId, str]) -> None:
        self.claimed += requests


def test_intake_takes_the_traces_of_earlier_orders_only_if_it_decides_them(database: str) -> None:
    traces = ClaimedTraces()
    engine = database_engine(database)
    try:
        stage = Stage(PostgresStore(engine, tracing=cast("Tracing", traces)))
        buyer, product = stage.account(), stage.product()
        waiting = stage.order(buyer, {product: 1})
        for decides in (False, True):
            with stage.store.begin() as tx:
                (order,) = tx.orders.try_claim_undecided(9, NOW) or ()
                if decides:
                    order.decide(tx.stock.try_lock([product]), NOW, NOW + SECOND)
                    tx.orders.save([order])
            assert traces.claimed == ([waiting] if decides else [])
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM order_traces").scalar_one() == 0
    finally:
        engine.dispose()


def test_an_order_that_intake_decides_has_the_same_spans(
    tmp_path: Path, redis_url: str, database: str, collector: Collector
) -> None:
    with traced_deployment(tmp_path, redis_url, database, collector, decide_at_intake=True) as deployment:
        order = place_traced(deployment)
        request = collector.find("POST /orders/api/v1/", trace=TRACE)
        batch, decision = (collector.find(f"{name} batch", trace=TRACE) for name in ("place", "decide"))
        assert {batch.service, decision.service} == {"scalecommerce-api"}
        for name, shared in (("place", batch), ("decide", decision)):
            own = collector.find(name, trace=TRACE)
            assert (shared.links, own.parent, own.links) == ({request.id}, request.id, {shared.id})
            assert own.attributes["scalecommerce.order.id"] == order
        # One transaction did both.
        assert collector.find("transaction", trace=TRACE).parent == decision.id


def test_one_order_is_followed_from_its_request_through_its_batch_to_its_decision(
    deployment: Deployment, collector: Collector
) -> None:
    order = place_traced(deployment)

    request = collector.find("POST /orders/api/v1/", trace=TRACE)
    assert (request.service, request.parent) == ("scalecommerce-api", PARENT)
    assert request.span.kind == Span.SPAN_KIND_SERVER
    assert request.attributes["http.response.status_code"] == 201
    batch = collector.find("place batch", trace=TRACE)
    assert batch.links == {request.id}
    waited = collector.find("place", trace=TRACE)
    assert (waited.parent, waited.links) == (request.id, {batch.id})
    assert waited.attributes["scalecommerce.order.id"] == order
    assert collector.find("transaction", parent=batch.id).service == "scalecommerce-api"

    decision = collector.find("decide batch", trace=TRACE)
    assert (decision.service, decision.links) == ("scalecommerce-worker", {request.id})
    decided = collector.find("decide", trace=TRACE)
    assert (decided.parent, decided.links) == (request.id, {decision.id})
    assert decided.attributes["scalecommerce.order.id"] == order
    assert collector.find("transaction", parent=decision.id).service == "scalecommerce-worker"
    assert waited.span.end_time_unix_nano <= decided.span.end_time_unix_nano

    # Nothing else was recorded, and no span has data of the request.
    assert {each.trace for each in collector.spans} == {TRACE}
    assert not any("s3cret" in str(each.span) for each in collector.spans)
    assert {each["path"] for each in collector.headers} == {"/v1/traces"}
    assert {each["x-token"] for each in collector.headers} == {"collector s3cret"}
    assert "s3cret" not in deployment.commands["serve"].text()


def test_a_failed_delivery_of_a_webhook_is_recorded_and_carries_its_trace(
    tmp_path: Path, redis_url: str, database: str, collector: Collector
) -> None:
    settings: Any = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "WEBHOOKS_ALLOW_LOOPBACK": "1",
        "LOG_LEVEL": "INFO",
    }
    with Deployment(tmp_path, database, redis_url, **settings) as deployment, receiving() as receiver:
        client = deployment.person("seller")
        receiver.act = answering(503)
        url = f"http://127.0.0.1:{receiver.port}/s3cret/path"
        made = client.post("/webhooks/api/v1/", json={"url": url})
        assert made.status_code == 201, made.text
        product = {"name": "Tea pot", "category_id": 5, "price": "10.00", "stock": 100}
        eventually(lambda: client.get(made.headers["location"]).json()["is_verified"], "a verified endpoint")
        assert client.post("/products/api/v1/", json=product).status_code == 201
        eventually(lambda: receiver.received, "a delivery")
        traceparent = receiver.received[0][1]["traceparent"].split("-")
        sent = collector.find("POST webhook", id=traceparent[2])
        assert (sent.service, sent.trace) == ("shop", traceparent[1])
        assert sent.span.kind == Span.SPAN_KIND_CLIENT
        assert sent.span.status.code == Status.STATUS_CODE_ERROR
        assert sent.attributes == {
            "server.address": "127.0.0.1",
            "server.port": receiver.port,
            "http.response.status_code": 503,
            "error.type": "503",
        }
        assert not any("s3cret" in str(each.span) for each in collector.spans)


def test_log_lines_have_the_ids_of_their_trace(
    tmp_path: Path, redis_url: str, database: str, collector: Collector
) -> None:
    deployment = Deployment(
        tmp_path,
        database,
        redis_url,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_TRACES_SAMPLER="parentbased_always_off",
        LOG_LEVEL="INFO",
        LOG_FORMAT="json",
    )
    deployment.start("serve")
    try:
        deployment.find()
        deployment.visitor().post(
            "/users/api/v1/token/",
            json={"email": "nobody@example.com", "password": "wrong"},
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        )
        line = json.loads(deployment.commands["serve"].says(r'\{[^\n]*"trace_id"[^\n]*\}')[0])
        assert (line["trace_id"], len(line["span_id"])) == (TRACE, 16)
    finally:
        deployment.end()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "choose one of otlp, console, none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "port 4318"),
    ],
)
@pytest.mark.parametrize("program", ["serve", "worker"])
def test_programs_refuse_settings_of_traces_that_are_not_supported(
    tmp_path: Path, redis_url: str, database: str, *, program: str, name: str, value: str, said: str
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", name: value}
    result = run(
        program, *(["--port", "0"] if program == "serve" else []), cwd=tmp_path,
        DATABASE_URL=database, REDIS_URL=redis_url, JWT_SECRET="x" * 40, **settings,
    )  # fmt: skip
    assert result.returncode == 1
    assert said in result.stderr
