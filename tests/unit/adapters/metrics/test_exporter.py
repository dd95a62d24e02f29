"""The figures of processes as `/metrics` shows them. Rows are held by this process, or by children that it starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from adapters.metrics import definitions
from adapters.metrics.definitions import LAYOUT, METRICS
from adapters.metrics.exporter import CACHE_SECONDS, DatabaseCollector, ProcessesCollector
from adapters.metrics.recorder import HttpMeasurements, MarketMeasurements, Recorder, Sampler
from adapters.metrics.series import OTHER, Program
from adapters.metrics.shared_file import OwnRow, Row, SharedFile, claim_row, create_file
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.domain.order import RejectionReason
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.runs import RunStatus
from scalecommerce_core.queries import Backlogs, ConsumerLag, Trouble, TroubleKind
from scalecommerce_core.testing import SettableClock

ROUTES = ["/orders/api/v1/", "/products/api/v1/{id:id}/"]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(collector: "ProcessesCollector | DatabaseCollector") -> Samples:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"scalecommerce_{name}", frozenset(labels.items())]


def exported(recorder: Recorder, program: Program = Program.API) -> Samples:
    """What an exporter shows of one process."""
    routes = [route.replace(":id}", "}") for route in recorder.routes]
    row = Row(0, os.getpid(), routes, np.frombuffer(recorder.numbers.tobytes()))
    return scrape(ProcessesCollector(program, lambda: [row]))


def test_requests_are_counted_by_route_method_and_class_of_status() -> None:
    recorder = Recorder()
    recorder.name_routes(ROUTES)
    record = HttpMeasurements(recorder)
    record(ROUTES[1], "GET", 200, 0.003)
    record(ROUTES[1], "GET", 304, 0.2)
    record(ROUTES[1], "GET", 304, 20.0)
    record(None, "BREW", 404, 0.001)
    samples = exported(recorder)
    product = {"route": "/products/api/v1/{id}/", "method": "GET"}
    assert value(samples, "http_requests_total", **product, status="2xx") == 1
    assert value(samples, "http_requests_total", **product, status="3xx") == 2
    assert value(samples, "http_requests_total", route=OTHER, method=OTHER, status="4xx") == 1
    assert value(samples, "http_response_seconds_count", **product) == 3
    assert value(samples, "http_response_seconds_sum", **product) == pytest.approx(20.203)
    assert value(samples, "http_response_seconds_bucket", **product, le="0.005") == 1
    assert value(samples, "http_response_seconds_bucket", **product, le="0.25") == 2
    assert value(samples, "http_response_seconds_bucket", **product, le="+Inf") == 3
    # Routes without a request have no series.
    assert not any(dict(labels).get("route") == ROUTES[0] for _, labels in samples)


def test_no_label_has_a_value_outside_its_set() -> None:
    recorder = Recorder()
    recorder.name_routes(ROUTES)
    record, market, http_name = HttpMeasurements(recorder), MarketMeasurements(recorder), definitions.REQUESTS.name
    for path in ("/made/up", None, *ROUTES):
        record(path, "GET", 200, 0.1)
    market.orders_received({"accepted": 2, "a_code_of_tomorrow": 1}, timedelta(seconds=1))
    recorder.observe(definitions.TASK_SECONDS, [1.0], "a.task.of.tomorrow")
    allowed = {metric.name: {label: set(values) for label, values in metric.labels.items()} for metric in METRICS}
    for program in Program:
        for name, labels in exported(recorder, program):
            base = name if name in allowed else name.rsplit("_", 1)[0]
            for label, text in labels:
                if label == "route":
                    assert text in {"/orders/api/v1/", "/products/api/v1/{id}/", OTHER}
                elif label != "le":
                    assert text in allowed[base][label], (name, label, text)
    assert value(exported(recorder), "orders_received_total", answer=OTHER) == 1
    assert http_name in {name for name, _ in exported(recorder)}


def test_figures_of_the_market_are_exported() -> None:
    recorder = Recorder()
    market = MarketMeasurements(recorder)
    market.orders_received({"accepted": 7, "price_moved": 1}, timedelta(milliseconds=30))
    market.orders_received({}, timedelta(milliseconds=30))
    market.orders_decided([timedelta(seconds=0.2), timedelta(seconds=-1)], [timedelta(seconds=400)])
    market.orders_rejected({RejectionReason.STOCK: 1})
    market.order_deferred()
    market.prices_decided(500, {Guardrail.STEP: 20, Guardrail.BREAKER: 3})
    market.run_ended(RunStatus.DONE)
    api, worker = exported(recorder), exported(recorder, Program.WORKER)
    assert value(api, "orders_received_total", answer="accepted") == 7
    assert value(api, "orders_received_total", answer="too_many_open_orders") == 0
    assert value(api, "intake_batch_orders_bucket", le="10.0") == value(api, "intake_batch_orders_count") == 1
    assert value(api, "intake_batch_seconds_sum") == pytest.approx(0.03)
    assert value(worker, "order_verdict_seconds_bucket", verdict="reserved", le="0.025") == 1
    assert value(worker, "order_verdict_seconds_bucket", verdict="rejected", le="300.0") == 0
    assert value(worker, "order_verdict_seconds_count", verdict="rejected") == 1
    assert value(worker, "order_rejections_total", reason="stock") == 1
    assert value(worker, "orders_deferred_total") == 1
    assert value(worker, "pricing_guardrail_actions_total", guardrail="breaker") == 3
    assert value(worker, "pricing_runs_ended_total", outcome="done") == 1
    assert value(worker, "process_resident_memory_bytes", process="main") > 0


def test_sampled_counters_survive_a_restart_of_their_source() -> None:
    recorder, counted = Recorder(), [0.0]
    sampler = Sampler(recorder)
    sampler.watch(definitions.CACHE_LOOKUPS, lambda: counted[0], "product", "hit")
    sampler.watch(definitions.LIVE_STREAMS, lambda: counted[0])
    for number in (5.0, 9.0, 2.0):
        counted[0] = number
        sampler.sample()
    samples = exported(recorder)
    assert value(samples, "cache_lookups_total", cache="product", result="hit") == 11
    assert value(samples, "live_streams_open") == 2


CHILD = """
import sys, time
from pathlib import Path
from adapters.metrics import definitions
from adapters.metrics.definitions import LAYOUT
from adapters.metrics.recorder import HttpMeasurements, Recorder
from adapters.metrics.shared_file import claim_row
row = claim_row(Path(sys.argv[1]), LAYOUT)
recorder = Recorder(row)
recorder.name_routes(["/orders/api/v1/"])
recorder.add(definitions.ORDERS_RECEIVED, 1, "accepted")
recorder.set(definitions.LIVE_STREAMS, 10)
HttpMeasurements(recorder)("/orders/api/v1/", "POST", 202, 0.01)
print("counted", flush=True)
sys.stdin.read()
"""


def start_child(path: Path) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "counted\n"
    return child


def end(child: "subprocess.Popen[str]") -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_counters_of_killed_processes_stay_and_their_gauges_go() -> None:
    path = create_file(LAYOUT)
    file = SharedFile(path, LAYOUT)
    collector = ProcessesCollector(Program.API, file.rows)
    children = [start_child(path), start_child(path)]
    both = scrape(collector)
    assert value(both, "orders_received_total", answer="accepted") == 2
    assert value(both, "http_requests_total", route="/orders/api/v1/", method="POST", status="2xx") == 2
    assert value(both, "live_streams_open") == 20
    assert value(both, "process_resident_memory_bytes", process="1") > 0
    end(children[0])
    one = scrape(collector)
    assert value(one, "orders_received_total", answer="accepted") == 2
    assert value(one, "live_streams_open") == 10
    assert ("scalecommerce_process_resident_memory_bytes", frozenset({("process", "0")})) not in one
    # The successor takes the free row and goes on with its counters.
    children[0] = start_child(path)
    again = scrape(collector)
    assert [row.number for row in file.rows()] == [0, 1]
    assert value(again, "orders_received_total", answer="accepted") == 3
    assert value(again, "live_streams_open") == 20
    for child in children:
        end(child)


def test_a_process_shows_its_own_row() -> None:
    """The exporter of beat counts in the same process, and must not release the lock of its row."""
    path = create_file(LAYOUT)
    file, row = SharedFile(path, LAYOUT), claim_row(path, LAYOUT)
    assert isinstance(row, OwnRow)
    Recorder(row).add(definitions.BEAT_MESSAGES, 1, "scalecommerce.reprice")
    for _ in range(2):
        (own,) = file.rows()
        assert own.process == os.getpid()
    child = start_child(path)
    assert [each.number for each in file.rows()] == [0, 1]
    end(child)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Operations:
    """Queries with fixed results, that can be made to fail."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_away = False

    def backlogs(self) -> Backlogs:
        self.reads += 1
        if self.is_away:
            raise Unavailable("The database does not answer.")
        consumers = (
            ConsumerLag("statistics", 12, NOW - timedelta(seconds=40)),
            ConsumerLag("someone's own", 3, None),
        )
        return Backlogs(2, NOW - timedelta(seconds=9), 4, None, 5, 6, 7, 8, 9, consumers)

    def troubles(self, now: datetime, limit: int) -> list[Trouble]:
        assert (now, limit) == (NOW, 1)
        return [Trouble(TroubleKind.STUCK_REFUND, 3, ())]


@pytest.fixture
def operations() -> Operations:
    return Operations()


def database_collector(operations: Operations, monotonic: Callable[[], float]) -> DatabaseCollector:
    return DatabaseCollector(operations, SettableClock(NOW), monotonic)  # type: ignore[arg-type]  # two of its methods


def test_figures_of_the_database_are_exported(operations: Operations) -> None:
    samples = scrape(database_collector(operations, lambda: 0.0))
    assert value(samples, "database_figures_read") == 1
    assert value(samples, "undecided_orders") == 2
    assert value(samples, "oldest_undecided_order_age_seconds") == 9
    assert value(samples, "outbox_events") == 4
    assert value(samples, "oldest_outbox_event_age_seconds") == 0
    assert value(samples, "open_refunds") == 7
    assert value(samples, "waiting_webhook_deliveries") == 9
    assert value(samples, "event_consumer_lag_seconds", consumer="statistics") == 40
    assert value(samples, "event_consumer_lag_events", consumer="webhooks") == 0
    assert value(samples, "event_consumer_lag_events", consumer=OTHER) == 3
    assert value(samples, "troubles", kind="stuck_refund") == 3
    assert value(samples, "troubles", kind="stuck_payment") == 0


def test_figures_of_the_database_are_read_at_most_every_five_seconds(operations: Operations) -> None:
    now = [100.0]
    collector = database_collector(operations, lambda: now[0])
    scrape(collector)
    now[0] += CACHE_SECONDS - 0.1
    scrape(collector)
    assert operations.reads == 1
    now[0] += 0.2
    scrape(collector)
    assert operations.reads == 2


def test_figures_that_cannot_be_read_are_not_exported(operations: Operations, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    collector = database_collector(operations, lambda: now[0])
    operations.is_away = True
    for _ in range(2):
        samples = scrape(collector)
        assert [*samples.values()] == [0.0]
        assert value(samples, "database_figures_read") == 0
        now[0] += CACHE_SECONDS
    assert len(caplog.records) == 1
    operations.is_away = False
    assert value(scrape(collector), "undecided_orders") == 2
