"""Which variables of OpenTelemetry turn traces on, and what is refused."""

import sys

import pytest

from entrypoints import tracing
from entrypoints.processes.errors import CannotRun
from entrypoints.tracing import check_tracing, chosen_exporter, is_installed

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "exporter"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "always_on"}, None),
        (COLLECTOR, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "Console"}, "console"),
        ({**COLLECTOR, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({**COLLECTOR, "OTEL_SDK_DISABLED": "true"}, None),
        ({**COLLECTOR, "OTEL_SDK_DISABLED": "no"}, "otlp"),
        ({**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp"),
        ({**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_an_endpoint_or_exporter_turns_traces_on(environment: dict[str, str], exporter: str | None) -> None:
    assert chosen_exporter(environment) == exporter


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER 'jaeger': choose one of otlp, console, none."),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf only"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "'http/json'"),
    ],
)
def test_what_is_not_supported_is_refused(more: dict[str, str], said: str) -> None:
    with pytest.raises(CannotRun) as refused:
        chosen_exporter({**COLLECTOR, **more})
    assert said in str(refused.value)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    check_tracing()
    # An import of the package fails, as if it was not installed.
    for name in [each for each in sys.modules if each.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert not is_installed()
    with pytest.raises(CannotRun, match=r"pip install 'scalecommerce\[server,otel\]'"):
        check_tracing()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    check_tracing()


def test_values_of_headers_are_secrets_in_both_forms() -> None:
    assert set(tracing._header_values("a=one%20two, b=three,c=")) == {"one%20two", "one two", "three"}
