"""Traces of one process, configured by the standard variables of OpenTelemetry (`OTEL_*`).

The packages of the extra `otel` are imported only if these variables ask for traces.
"""

import logging
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from attrs import frozen
from starlette.types import ASGIApp

from entrypoints import logs
from entrypoints.processes.errors import CannotRun
from scalecommerce_core.ports import PaymentGateway, Store

if TYPE_CHECKING:
    from adapters.tracing.spans import OpenTelemetryTracing

logger = logging.getLogger(__name__)

EXPORTERS: Final = ("otlp", "console", "none")
PROTOCOL: Final = "http/protobuf"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")


def chosen_exporter(environment: Mapping[str, str]) -> str | None:
    """`otlp` or `console`; None if traces are off. Raise CannotRun for a value that is not supported.

    Traces are on if an exporter or an endpoint is set, unless OTEL_SDK_DISABLED is `true`.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not exporter:
        exporter = "otlp" if any(environment.get(name) for name in _ENDPOINTS) else "none"
    if exporter not in EXPORTERS:
        raise CannotRun(f"OTEL_TRACES_EXPORTER {exporter!r}: choose one of {', '.join(EXPORTERS)}.")
    if exporter == "none":
        return None
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), PROTOCOL)
    if exporter == "otlp" and protocol != PROTOCOL:
        raise CannotRun(
            f"OTEL_EXPORTER_OTLP_PROTOCOL {protocol!r}: traces are sent by {PROTOCOL} only; collectors take it on port"
            " 4318."
        )
    return exporter


def check_tracing() -> None:
    """Raise CannotRun if traces are on but cannot be recorded."""
    if chosen_exporter(os.environ) is not None and not is_installed():
        raise CannotRun(
            "OTEL_* variables ask for traces, but OpenTelemetry is not installed: run"
            " `pip install 'scalecommerce[server,otel]'`, or set OTEL_SDK_DISABLED=true."
        )


def is_installed() -> bool:
    """Whether the packages of the extra `otel` can be imported."""
    try:
        return find_spec("opentelemetry.sdk") is not None
    except ModuleNotFoundError:
        return False


@frozen
class ProcessTracing:
    """`record_response` is a listener for responses of the API; `close` sends the spans that are left."""

    tracing: "OpenTelemetryTracing"
    record_response: Callable[[str | None, str, int, float], None]
    wrap_application: Callable[[ASGIApp], ASGIApp]
    wrap_store: Callable[[Store], Store]
    wrap_gateway: Callable[[PaymentGateway, str], PaymentGateway]
    close: Callable[[], None]


def start_tracing(process: str) -> ProcessTracing | None:
    """Record traces of this process, which forks no more; None if they are off. `process` is api or worker."""
    exporter = chosen_exporter(os.environ)
    if exporter is None:
        return None
    from adapters.tracing.provider import close_provider, create_provider
    from adapters.tracing.server import ServerSpans, record_response
    from adapters.tracing.spans import OpenTelemetryTracing, current_ids
    from adapters.tracing.wrappers import TracedGateway, TracedStore

    logs.add_secrets(secret for name in _HEADERS for secret in _header_values(os.environ.get(name, "")))
    is_named = bool(os.environ.get("OTEL_SERVICE_NAME")) or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    provider = create_provider(f"scalecommerce-{process}", version("scalecommerce"), exporter, named=is_named)
    logs.add_trace_ids(current_ids)
    tracing = OpenTelemetryTracing(provider)
    logger.info("traces are recorded and sent by the exporter %s", exporter)
    return ProcessTracing(
        tracing,
        record_response,
        lambda app: ServerSpans(app, tracing),
        lambda store: TracedStore(store, tracing),
        lambda gateway, name: TracedGateway(gateway, tracing, name),
        lambda: close_provider(provider),
    )


def _header_values(headers: str) -> list[str]:
    """The values in `name=value,name=value`, as they are written and decoded."""
    values = [pair.partition("=")[2].strip() for pair in headers.split(",")]
    return [form for value in values if value for form in {value, unquote(value)}]
