"""Spans of requests, batches, decisions and outgoing calls, with the in-memory exporter of OpenTelemetry."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from adapters.http.execution.batcher import Batcher
from adapters.http.framework.middleware import BaselineMiddleware
from adapters.tracing.server import ServerSpans, record_response
from adapters.tracing.spans import ORDER, OpenTelemetryTracing, current_ids, recorded
from adapters.tracing.wrappers import TracedGateway, TracedStore
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import AccountId, OrderId, PaymentId
from scalecommerce_core.domain.order import Order, OrderLine
from scalecommerce_core.domain.payment import Charged, ChargeRequest
from scalecommerce_core.services.ordering import PlaceOrder
from scalecommerce_core.testing import CountingIds, MemoryGateway, MemoryStore, SettableClock

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Recorded:
    """A tracer whose ended spans are in memory."""

    def __init__(self, sampler: Sampler = ParentBased(ALWAYS_ON)) -> None:  # noqa: B008 - it is immutable
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = OpenTelemetryTracing(provider)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    @contextmanager
    def request(self, name: str = "request") -> Iterator[ReadableSpan]:
        with recorded(self.tracing.tracer.start_span(name, kind=SpanKind.SERVER)) as span:
            assert isinstance(span, ReadableSpan)
            yield span


@pytest.fixture
def spans() -> Recorded:
    return Recorded()


def trace_of(span: ReadableSpan) -> int:
    return span.get_span_context().trace_id  # type: ignore[union-attr,no-any-return,unused-ignore]


def id_of(span: ReadableSpan) -> int:
    return span.get_span_context().span_id  # type: ignore[union-attr,no-any-return,unused-ignore]


def links_of(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    return dict(span.attributes or {})


# --- requests


def fail(_request: Request) -> Response:
    raise RuntimeError("secret")


def application(spans: Recorded) -> TestClient:
    def answer(request: Request) -> Response:
        return PlainTextResponse(str(current_ids()), int(request.query_params.get("status", "200")))

    app = Starlette(routes=[Route("/orders/{id:int}/", answer, methods=["GET", "POST"]), Route("/fail/", fail)])
    inner = BaselineMiddleware(app.router, on_response=record_response)
    return TestClient(ServerSpans(inner, spans.tracing), raise_server_exceptions=False)


def test_a_request_has_a_span_without_data_of_the_user(spans: Recorded) -> None:
    response = application(spans).get("/orders/17/?status=201&token=s3cret", headers={"Authorization": "Bearer s3cret"})
    (span,) = spans.spans
    assert response.text == str((f"{trace_of(span):032x}", f"{id_of(span):016x}"))
    assert (span.name, span.kind) == ("GET /orders/{id:int}/", SpanKind.SERVER)
    assert attributes_of(span) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/orders/{id:int}/",
        "http.response.status_code": 201,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert current_ids() is None


def test_a_trace_of_the_client_is_continued(spans: Recorded) -> None:
    application(spans).get("/orders/17/", headers={"traceparent": PARENT})
    span = spans.one("GET /orders/{id:int}/")
    assert f"{trace_of(span):032x}" == TRACE
    assert parent_of(span) == 0xB7AD6B7169203331


@pytest.mark.parametrize("header", ["", "x", "00-0-0-01", f"00-{'0' * 32}-b7ad6b7169203331-01", "é"])
def test_a_malformed_traceparent_begins_a_trace(spans: Recorded, header: str) -> None:
    application(spans).get("/orders/17/", headers={b"traceparent": header.encode()})
    assert parent_of(spans.one("GET /orders/{id:int}/")) is None


def test_a_trace_that_its_client_does_not_record_is_not_recorded(spans: Recorded) -> None:
    response = application(spans).get("/orders/17/", headers={"traceparent": PARENT.removesuffix("01") + "00"})
    assert TRACE in response.text
    assert spans.spans == ()


@pytest.mark.parametrize(("status", "is_error"), [(404, False), (499, False), (500, True), (503, True)])
def test_only_errors_of_the_server_are_errors_of_its_span(spans: Recorded, status: int, is_error: bool) -> None:
    application(spans).post(f"/orders/17/?status={status}")
    (span,) = spans.spans
    assert (span.status.status_code is StatusCode.ERROR) == is_error
    assert attributes_of(span).get("error.type") == (str(status) if is_error else None)


def test_an_exception_is_recorded_as_a_500_without_its_message(spans: Recorded) -> None:
    application(spans).get("/fail/")
    span = spans.one("GET /fail/")
    assert attributes_of(span)["http.response.status_code"] == 500
    assert "secret" not in span.to_json()


def test_an_unknown_method_and_path_do_not_name_a_span(spans: Recorded) -> None:
    application(spans).request("BREW", "/nowhere/at/all")
    (span,) = spans.spans
    assert span.name == "HTTP"
    assert attributes_of(span)["http.request.method"] == "_OTHER"


# --- batches


def test_a_batch_is_linked_to_its_requests_and_they_to_it(spans: Recorded) -> None:
    traced: list[ReadableSpan] = []

    async def scenario() -> None:
        gate, begun = threading.Event(), threading.Event()

        def run(commands: Sequence[int]) -> list[int | Exception]:
            begun.set()
            assert gate.wait(20)
            return [NotFound("order", each) if each == 2 else each for each in commands]

        batcher: Batcher[int, int] = Batcher(run, name="cancel", tracing=spans.tracing)

        async def request(number: int) -> None:
            with spans.request(f"request {number}") as span:
                traced.append(span)
                await asyncio.gather(batcher.submit(number), return_exceptions=True)

        first = asyncio.ensure_future(request(0))
        await asyncio.to_thread(begun.wait, 20)
        others = [asyncio.ensure_future(request(number)) for number in (1, 2)]
        others.append(asyncio.ensure_future(batcher.submit(3)))  # type: ignore[arg-type]  # only awaited
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *others)
        await batcher.drain()

    asyncio.run(scenario())
    alone, together = spans.named("cancel batch")
    assert links_of(alone) == {id_of(traced[0])}
    assert links_of(together) == {id_of(traced[1]), id_of(traced[2])}
    assert (trace_of(together), parent_of(together)) == (trace_of(traced[1]), id_of(traced[1]))
    assert attributes_of(together) == {"scalecommerce.batch.commands": 3, "scalecommerce.batch.traced": 2}
    waits = spans.named("cancel")
    assert [parent_of(each) for each in waits] == [id_of(each) for each in traced]
    assert [trace_of(each) for each in waits] == [trace_of(each) for each in traced]
    assert [links_of(each) for each in waits] == [{id_of(each)} for each in (alone, together, together)]
    for wait, batch in zip(waits, (alone, together, together), strict=True):
        assert (wait.start_time or 0) <= (batch.start_time or 0)
        assert wait.end_time == batch.end_time


def test_a_batch_of_requests_that_are_not_recorded_has_no_span() -> None:
    spans = Recorded(ALWAYS_OFF)

    async def scenario() -> int:
        batcher: Batcher[int, int] = Batcher(list, name="cancel", tracing=spans.tracing)
        with recorded(spans.tracing.tracer.start_span("request")):
            found = await batcher.submit(7)
        await batcher.drain()
        return found

    assert asyncio.run(scenario()) == 7
    assert spans.spans == ()


def test_a_transaction_is_a_child_of_what_is_recorded_and_shows_only_the_type_of_an_error(spans: Recorded) -> None:
    store = TracedStore(MemoryStore(), spans.tracing)
    with store.begin():
        pass
    assert spans.spans == ()
    with spans.request() as span, store.begin():
        pass
    assert parent_of(spans.one("transaction")) == id_of(span)
    with spans.request(), pytest.raises(KeyError), store.bulk():
        raise KeyError("secret")
    failed = spans.named("transaction")[1]
    assert attributes_of(failed) == {"db.system.name": "postgresql", "error.type": "KeyError"}
    assert "secret" not in failed.to_json()


# --- decisions


def order(number: int, command: Any) -> Order:
    line = OrderLine(position=0, product_id=1, seller_id=1, quantity=1, price=100)  # type: ignore[arg-type]  # ids
    return Order.placed(
        id=OrderId(number),
        command_id=command,
        buyer_id=AccountId(1),
        currency="USD",
        lines=[line],
        now=SettableClock().now(),
    )


def test_an_order_is_followed_from_its_request_to_its_decision(spans: Recorded) -> None:
    ids, tracing = CountingIds(), spans.tracing
    commands = [PlaceOrder(ids.command(), AccountId(1), []) for _ in range(3)]
    with spans.request("first") as first:
        one = tracing.current_request()
    with spans.request("second") as second:
        two = tracing.current_request()
    orders = [order(number, command.id) for number, command in enumerate(commands, 11)]
    with tracing.batch("place", [(commands[0], one), (commands[1], two), (commands[2], None)]):
        stored = tracing.requests_of(orders)
    assert stored.keys() == {11, 12}
    assert [attributes_of(each)[ORDER] for each in spans.named("place")] == [11, 12]
    assert tracing.requests_of(orders) == {}

    # In the worker: the first attempt fails, and the orders are decided in halves.
    store = TracedStore(MemoryStore(), tracing)
    with tracing.decision():
        with store.begin():
            tracing.orders_claimed(stored)
        with store.begin():
            tracing.orders_claimed({OrderId(11): stored[OrderId(11)]})
    batch = spans.one("decide batch")
    assert (trace_of(batch), parent_of(batch)) == (trace_of(first), id_of(first))
    assert links_of(batch) == {id_of(first), id_of(second)}
    assert attributes_of(batch) == {"scalecommerce.batch.traced": 2}
    assert [parent_of(each) for each in spans.named("transaction")] == [id_of(batch)] * 2
    decided = spans.named("decide")
    assert [(trace_of(each), parent_of(each)) for each in decided] == [
        (trace_of(first), id_of(first)),
        (trace_of(second), id_of(second)),
    ]
    assert [attributes_of(each) for each in decided] == [{ORDER: 11}, {ORDER: 12}]
    assert all(links_of(each) == {id_of(batch)} for each in decided)
    assert current_ids() is None


def test_orders_of_a_later_half_are_linked_too(spans: Recorded) -> None:
    other = PARENT.replace("b7ad6b7169203331", "b7ad6b7169203332")
    with spans.tracing.decision():
        spans.tracing.orders_claimed({OrderId(1): PARENT})
        spans.tracing.orders_claimed({OrderId(2): other})
    assert links_of(spans.one("decide batch")) == {0xB7AD6B7169203331, 0xB7AD6B7169203332}
    assert len(spans.named("decide")) == 2


@pytest.mark.parametrize("requests", [{}, {OrderId(1): "nonsense"}])
def test_a_decision_without_recorded_orders_has_no_span(spans: Recorded, requests: dict[OrderId, str]) -> None:
    spans.tracing.orders_claimed({OrderId(1): PARENT})
    with spans.tracing.decision():
        spans.tracing.orders_claimed(requests)
    assert spans.spans == ()


# --- calls


def test_an_outgoing_call_carries_its_context_and_records_its_result(spans: Recorded) -> None:
    with spans.request() as request, spans.tracing.outgoing_call("POST webhook", "shop.example", 8443) as call:
        call.end(204)
    span = spans.one("POST webhook")
    assert call.headers.keys() == {"traceparent"}
    # The last field has a flag for a sampled trace, and one for a random id.
    assert call.headers["traceparent"].startswith(f"00-{trace_of(request):032x}-{id_of(span):016x}-0")
    assert (span.kind, parent_of(span)) == (SpanKind.CLIENT, id_of(request))
    assert attributes_of(span) == {
        "server.address": "shop.example",
        "server.port": 8443,
        "http.response.status_code": 204,
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("status", "error", "kind"), [(500, "", "500"), (None, "no connection", "_OTHER")])
def test_a_failed_call_is_an_error(spans: Recorded, status: int | None, error: str, kind: str) -> None:
    with spans.tracing.outgoing_call("POST webhook", "shop.example") as call:
        call.end(status, error)
    (span,) = spans.spans
    assert span.status.status_code is StatusCode.ERROR
    assert (span.status.description or "") == error
    assert attributes_of(span)["error.type"] == kind


def test_a_call_in_another_thread_belongs_to_its_request(spans: Recorded) -> None:
    found: list[tuple[str, str] | None] = []
    with spans.request() as span:
        call = spans.tracing.bind(lambda: found.append(current_ids()))
    for work in (call, lambda: found.append(current_ids())):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [(f"{trace_of(span):032x}", f"{id_of(span):016x}"), None]


def test_requests_to_the_gateway_are_recorded(spans: Recorded) -> None:
    seen: list[tuple[str, str] | None] = []

    class Gateway(MemoryGateway):
        def charge(self, _request: ChargeRequest) -> Charged:
            seen.append(current_ids())
            raise TimeoutError("secret")

    gateway = TracedGateway(Gateway(), spans.tracing, "bank")
    with pytest.raises(TimeoutError):
        gateway.charge(None)  # type: ignore[arg-type]  # it is not read
    assert gateway.find(PaymentId(uuid4())) is None
    charge = spans.one("gateway charge")
    assert seen == [(f"{trace_of(charge):032x}", f"{id_of(charge):016x}")]
    assert attributes_of(charge) == {"server.address": "bank", "error.type": "TimeoutError"}
    assert spans.one("gateway find").status.status_code is StatusCode.UNSET
