"""`ports.Tracing` on OpenTelemetry.

A batch has the requests of many traces, and a span has one parent. So a batch or decision is a span in the trace of the
first of its recorded requests, with links to all of them, and each of these requests gets a span of its own in its own
trace, with a link to the batch. A batch without a recorded request has no span.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from time import time_ns
from typing import Any, Final, TypeVar

from attrs import define, field
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.ports import TracedRequest
from scalecommerce_core.services.ordering import PlaceOrder

T = TypeVar("T")

SCOPE: Final = "scalecommerce"
ORDER: Final = "scalecommerce.order.id"
BATCH_COMMANDS: Final = "scalecommerce.batch.commands"
BATCH_TRACED: Final = "scalecommerce.batch.traced"
MAX_LINKS: Final = 128
"""Links of a span that the SDK keeps by default."""
PROPAGATOR: Final[TextMapPropagator] = TraceContextTextMapPropagator()


@define(eq=False)
class RecordedRequest:
    """`since` is when it began to wait for a batch, in nanoseconds since 1970. `order` is the order that it placed."""

    context: SpanContext
    since: int
    order: OrderId | None = None


@define(eq=False)
class _Decision:
    begun: int
    requests: dict[OrderId, SpanContext] = field(factory=dict)
    span: Span | None = None
    attachment: Any = None


_batch: Final[ContextVar[Sequence[tuple[object, RecordedRequest]]]] = ContextVar("traced_batch", default=())
_decision: Final[ContextVar[_Decision | None]] = ContextVar("traced_decision", default=None)


class OpenTelemetryTracing:
    """The current span is that of the context of OpenTelemetry, so that instrumented libraries add theirs to it."""

    def __init__(self, provider: TracerProvider) -> None:
        self.tracer = provider.get_tracer(SCOPE)

    def current_request(self) -> RecordedRequest | None:
        context = get_current_span().get_span_context()
        return RecordedRequest(context, time_ns()) if context.trace_flags.sampled else None

    def bind(self, call: Callable[[], T]) -> Callable[[], T]:
        context = otel_context.get_current()

        def bound() -> T:
            with attached(context):
                return call()

        return bound

    @contextmanager
    def batch(self, name: str, commands: Sequence[tuple[object, TracedRequest | None]]) -> Iterator[None]:
        members = [(command, request) for command, request in commands if isinstance(request, RecordedRequest)]
        if not members:
            yield
            return
        requests = [request for _, request in members]
        attributes = {BATCH_COMMANDS: len(commands), BATCH_TRACED: len(requests)}
        span = self._shared_span(f"{name} batch", [each.context for each in requests], attributes=attributes)
        token = _batch.set(members)
        try:
            with attached(set_span_in_context(span)):
                yield
        finally:
            _batch.reset(token)
            ended = time_ns()
            span.end(ended)
            for each in requests:
                self._record_member(name, each.context, span, begun=each.since, ended=ended, order=each.order)
                # If the deadline of another command rolls the batch back, the request waits for the next batch.
                each.since = ended

    def requests_of(self, orders: Collection[Order]) -> Mapping[OrderId, str]:
        requests = {command.id: request for command, request in _batch.get() if isinstance(command, PlaceOrder)}
        if not requests:
            return {}
        found = {}
        for order in orders:
            if (request := requests.get(order.command_id)) is not None:
                request.order = order.id
                found[order.id] = _to_text(request.context)
        return found

    @contextmanager
    def decision(self) -> Iterator[None]:
        decision = _Decision(time_ns())
        token = _decision.set(decision)
        try:
            yield
        finally:
            _decision.reset(token)
            if decision.span is not None:
                otel_context.detach(decision.attachment)
                ended = time_ns()
                decision.span.end(ended)
                for order, request in decision.requests.items():
                    self._record_member(
                        "decide", request, decision.span, begun=decision.begun, ended=ended, order=order
                    )

    def orders_claimed(self, requests: Mapping[OrderId, str]) -> None:
        decision = _decision.get()
        if decision is None:
            return
        found = {order: _from_text(text) for order, text in requests.items()}
        # After a failure, the halves of the batch are decided again, with orders that are recorded already.
        new = {order: each for order, each in found.items() if each.is_valid and order not in decision.requests}
        if not new:
            return
        decision.requests |= new
        if decision.span is None:
            decision.span = self._shared_span("decide batch", list(new.values()), begun=decision.begun)
            decision.attachment = otel_context.attach(set_span_in_context(decision.span))
        else:
            for each in new.values():
                decision.span.add_link(each)
        decision.span.set_attribute(BATCH_TRACED, len(decision.requests))

    @contextmanager
    def outgoing_call(self, name: str, host: str, port: int | None = None) -> "Iterator[RecordedCall]":
        attributes: dict[str, str | int] = {"server.address": host} | ({"server.port": port} if port else {})
        with recorded(self.tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)) as span:
            headers: dict[str, str] = {}
            PROPAGATOR.inject(headers)
            yield RecordedCall(span, headers)

    def transaction(self, begun: int, error: BaseException | None) -> None:
        """Record a transaction of the database that began at `begun`, if its request or batch is recorded."""
        if not get_current_span().is_recording():
            return
        attributes = {"db.system.name": "postgresql"}
        span = self.tracer.start_span("transaction", kind=SpanKind.CLIENT, attributes=attributes, start_time=begun)
        if error is not None:
            set_error(span, type(error).__qualname__)
        span.end()

    def _shared_span(
        self,
        name: str,
        requests: Sequence[SpanContext],
        *,
        attributes: Mapping[str, int] | None = None,
        begun: int | None = None,
    ) -> Span:
        parent = set_span_in_context(NonRecordingSpan(requests[0]), Context())
        return self.tracer.start_span(
            name, parent, links=[Link(each) for each in requests], attributes=attributes, start_time=begun
        )

    def _record_member(
        self, name: str, request: SpanContext, shared: Span, *, begun: int, ended: int, order: OrderId | None
    ) -> None:
        """Record a span in the trace of a request, with a link to the span of the batch that contained the request."""
        self.tracer.start_span(
            name,
            set_span_in_context(NonRecordingSpan(request), Context()),
            links=[Link(shared.get_span_context())],
            attributes=None if order is None else {ORDER: order},
            start_time=begun,
        ).end(ended)


class RecordedCall:
    def __init__(self, span: Span, headers: Mapping[str, str]) -> None:
        self._span = span
        self.headers = headers

    def end(self, status: int | None, error: str = "") -> None:
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if error or (status is not None and status >= 400):
            set_error(self._span, "_OTHER" if status is None else str(status), error)


def set_error(span: Span, kind: str, description: str = "") -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, description or None))


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """Make a context current."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def recorded(span: Span) -> Iterator[Span]:
    """Make a span current, record an exception by its type, and end the span."""
    try:
        with attached(set_span_in_context(span)):
            yield span
    except BaseException as error:
        # Neither message nor traceback: they may quote data of users.
        set_error(span, type(error).__qualname__)
        raise
    finally:
        span.end()


def current_ids() -> tuple[str, str] | None:
    """The trace and span ids of this context in hexadecimal, None outside of a trace."""
    context = get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def _to_text(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _from_text(text: str) -> SpanContext:
    return get_current_span(PROPAGATOR.extract({"traceparent": text}, Context())).get_span_context()
