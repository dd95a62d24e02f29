"""The spans of HTTP requests."""

from collections.abc import Callable
from typing import Final

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, get_current_span, set_span_in_context
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.tracing.spans import PROPAGATOR, OpenTelemetryTracing, set_error

METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
ResponseListener = Callable[[str | None, str, int, float], None]
"""The template of the path, the method, the status, and seconds."""


class ServerSpans:
    """An ASGI application that records a span for each HTTP request of another one.

    A `traceparent` header continues the trace of the client. Neither path nor query, address nor headers are recorded:
    they may contain what identifies a user, or secrets.
    """

    def __init__(self, app: ASGIApp, tracing: OpenTelemetryTracing) -> None:
        self._app = app
        self._tracer = tracing.tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in {b"traceparent", b"tracestate"}
        }
        parent = PROPAGATOR.extract(carrier, Context()) if carrier else Context()
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        span = self._tracer.start_span(
            "HTTP" if method == "_OTHER" else method, parent, kind=SpanKind.SERVER, attributes=attributes
        )
        # The steps of `recorded`, written out: its generator would cost each request about as much as the span.
        token = attach(set_span_in_context(span, parent))
        try:
            await self._app(scope, receive, send)
        except BaseException as error:
            set_error(span, type(error).__qualname__)
            raise
        finally:
            detach(token)
            span.end()


def record_response(route: str | None, method: str, status: int, _seconds: float) -> None:
    """Record the beginning of a response in the span of its request; a `ResponseListener`."""
    span = get_current_span()
    if not span.is_recording():
        return
    if route is not None:
        span.update_name(f"{method if method in METHODS else 'HTTP'} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        set_error(span, str(status))
