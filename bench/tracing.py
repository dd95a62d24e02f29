"""CPU time of orders over HTTP with and without traces, in one process on the in-memory adapters, in alternation.

`python -m bench.tracing`. Spans are encoded for OTLP in the background, as in production, and then discarded. The
decision on an order, which a worker records, is not part of it.
"""

import argparse
import asyncio
from collections.abc import Sequence
from statistics import median
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBasedTraceIdRatio, Sampler

from adapters.tracing.server import ServerSpans, record_response
from adapters.tracing.spans import OpenTelemetryTracing
from bench.metrics import cpu_of_orders

SAMPLERS: Final[dict[str, Sampler | None]] = {
    "off": None,
    "1 % recorded": ParentBasedTraceIdRatio(0.01),
    "all recorded": ALWAYS_ON,
}


class Discarded(SpanExporter):
    """Encodes spans and sends them nowhere."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--orders", type=int, default=1_000)
    parser.add_argument("--only-off", action="store_true", help="without traces only, to compare two revisions")
    chosen = parser.parse_args()
    samplers = {"off": None} if chosen.only_off else SAMPLERS
    took: dict[str, list[float]] = {name: [] for name in samplers}
    for number in range(chosen.rounds + 1):
        # The order alternates, so that no variant is always the first.
        names = list(samplers) if number % 2 else list(reversed(samplers))
        for name in names:
            seconds = cpu(samplers[name], chosen.orders)
            # The first round is a warm-up and is not counted.
            if number:
                took[name].append(seconds)
    for name, times in took.items():
        ratio = median(off / on for off, on in zip(took["off"], times, strict=True))
        print(f"{name:12}: {median(times) * 1e6:.1f} µs of CPU per order, orders per second of CPU: {ratio:.3f} of off")


def cpu(sampler: Sampler | None, orders: int) -> float:
    """Seconds of CPU per order."""
    if sampler is None:
        return asyncio.run(cpu_of_orders(orders, measured=False))
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Discarded()))
    tracing = OpenTelemetryTracing(provider)
    try:
        return asyncio.run(
            cpu_of_orders(
                orders,
                measured=False,
                tracing=tracing,
                wrap=lambda app: ServerSpans(app, tracing),
                on_response=record_response,
            )
        )
    finally:
        provider.shutdown()


if __name__ == "__main__":
    main()
