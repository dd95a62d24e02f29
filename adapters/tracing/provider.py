"""The tracer provider of a process, configured by the standard variables of OpenTelemetry."""

import threading
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

CLOSE_SECONDS: Final = 3.0
"""Time for the last spans when a process ends; a collector that is away must not delay it more."""


def create_provider(service: str, version: str, exporter: str, *, named: bool) -> TracerProvider:
    """A provider that sends spans in the background. To be called after the last fork.

    `service` is the name of the service, unless the environment names it (`named`). `exporter` is `otlp` or `console`.
    """
    attributes = {"service.namespace": "scalecommerce", "service.version": version}
    provider = TracerProvider(
        resource=Resource.create(attributes if named else {"service.name": service, **attributes}),
        shutdown_on_exit=False,
    )
    sender: SpanExporter = ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(sender))
    return provider


def close_provider(provider: TracerProvider) -> None:
    """Send the spans that are left, for at most `CLOSE_SECONDS`."""
    # The SDK would wait for 30 s.
    closing = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
    closing.start()
    closing.join(CLOSE_SECONDS)
