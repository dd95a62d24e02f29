"""`/metrics`: the figures of the processes of a program, and of the database, in the text format of Prometheus."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Final

import numpy as np
from attrs import frozen
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from adapters.metrics import definitions
from adapters.metrics.definitions import LAYOUT, METRICS
from adapters.metrics.series import OTHER, ROUTE, Kind, Merge, Metric, Program, Scope
from adapters.metrics.shared_file import Row
from scalecommerce_core.domain.errors import Unavailable
from scalecommerce_core.ports import Clock
from scalecommerce_core.queries import OperationsQueries, TroubleKind

logger = logging.getLogger(__name__)

CACHE_SECONDS: Final = 5.0
"""The figures of the database are read at most once in this time, however often the exporter is scraped."""

Series = Mapping[tuple[str, ...], Sequence[float]]


def export(port: int, host: str, collectors: Iterable[Collector]) -> None:
    """Serve `/metrics` in a daemon thread; raise OSError if the port cannot be used."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    start_http_server(port, host, registry)


@frozen
class ProcessesCollector(Collector):
    """The metrics that the processes of a program count. `rows` reads what each has counted."""

    program: Program
    rows: Callable[[], Sequence[Row]]

    def describe(self) -> Iterable[Family]:
        return []

    def collect(self) -> Iterator[Family]:
        rows = self.rows()
        for metric in LAYOUT.metrics:
            if self.program in metric.programs:
                yield _family(metric, _totals(metric, rows))
        yield from _system_families([("main", "self"), *((str(row.number), row.process) for row in rows)])


def _totals(metric: Metric, rows: Sequence[Row]) -> Series:
    """The series of a metric over all processes. Routes without a request are left out."""
    found: dict[tuple[str, ...], np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    if ROUTE not in metric.labels:
        found = {labels: np.zeros(metric.width) for labels in metric.label_values(())}
    begin, count = LAYOUT.offsets[metric.name], metric.series * metric.width
    for row in rows:
        if metric.kind is Kind.GAUGE and row.process is None:
            continue
        values = row.numbers[begin : begin + count].reshape(metric.series, metric.width)
        series = list(metric.label_values(row.routes))
        for place in np.flatnonzero(values.any(axis=1)).tolist():
            labels, own = series[place], values[place]
            earlier = found.get(labels)
            if earlier is None:
                found[labels] = own
            else:
                found[labels] = np.maximum(earlier, own) if metric.merge is Merge.MAX else earlier + own
    return {labels: values.tolist() for labels, values in found.items()}


def _family(metric: Metric, series: Series) -> Family:
    labels = list(metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
        for values, (*counts, total) in series.items():
            histogram.add_metric(values, [*zip(bounds, np.cumsum(counts).tolist(), strict=True)], total)
        return histogram
    family = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(
        metric.name, metric.help, labels=labels
    )
    for values, (number,) in series.items():
        family.add_metric(values, number)
    return family


def _system_families(processes: Iterable[tuple[str, int | str | None]]) -> Iterable[Family]:
    """CPU time, memory and open files of each running process; `processes` are pairs of name and process id."""
    families: dict[str, Family] = {}
    known = {metric.name: metric for metric in METRICS if metric.scope is Scope.SYSTEM}
    for name, process in processes:
        if process is None:
            continue
        collector = ProcessCollector("scalecommerce", pid=partial(str, process), registry=None)
        for read in collector.collect():
            for sample in read.samples:
                if sample.name in known:
                    empty = Family(read.name, read.documentation, read.type)
                    family = families.setdefault(sample.name, empty)
                    family.add_sample(sample.name, {"process": name}, sample.value)
    return families.values()


class DatabaseCollector(Collector):
    """Backlogs and troubles, read at a scrape, at most once in `CACHE_SECONDS`.

    If they cannot be read, only `FIGURES_READ` is exported, with 0: an old figure could not be told from a present one.
    """

    def __init__(
        self, queries: OperationsQueries, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._queries = queries
        self._clock = clock
        self._monotonic = monotonic
        self._lock = Lock()
        self._read_at = float("-inf")
        self._families: Sequence[Family] = ()
        self._was_read = True

    def describe(self) -> Iterable[Family]:
        return []

    def collect(self) -> Iterable[Family]:
        with self._lock:
            now = self._monotonic()
            if now - self._read_at >= CACHE_SECONDS:
                self._families = self._read()
                self._read_at = self._monotonic()
            return self._families

    def _read(self) -> list[Family]:
        try:
            figures = self._figures()
        except Unavailable as error:
            if self._was_read:
                logger.warning("the figures of the database cannot be exported: %s", error)
            self._was_read = False
            return [_family(definitions.FIGURES_READ, {(): [0.0]})]
        self._was_read = True
        return [_family(metric, series) for metric, series in figures]

    def _figures(self) -> list[tuple[Metric, Series]]:
        backlogs, now = self._queries.backlogs(), self._clock.now()
        troubles = {trouble.kind: trouble.count for trouble in self._queries.troubles(now, 1)}

        def age(moment: datetime | None) -> float:
            return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())

        events: dict[tuple[str, ...], list[float]] = {(name,): [0.0] for name in definitions.CONSUMERS[:-1]}
        seconds = dict(events)
        for consumer in backlogs.consumers:
            name = (consumer.name if consumer.name in definitions.CONSUMERS else OTHER,)
            events[name] = [max(float(consumer.events), *events.get(name, [0.0]))]
            seconds[name] = [max(age(consumer.oldest), *seconds.get(name, [0.0]))]
        found: list[tuple[Metric, Series]] = [
            (definitions.CONSUMER_EVENTS, events),
            (definitions.CONSUMER_SECONDS, seconds),
            (definitions.TROUBLES, {(kind.value,): [float(troubles.get(kind, 0))] for kind in TroubleKind}),
        ]
        for metric, value in (
            (definitions.FIGURES_READ, 1.0),
            (definitions.UNDECIDED, backlogs.undecided_orders),
            (definitions.OLDEST_UNDECIDED, age(backlogs.oldest_undecided)),
            (definitions.OUTBOX, backlogs.unnumbered_events),
            (definitions.OLDEST_OUTBOX, age(backlogs.oldest_unnumbered)),
            (definitions.PENDING_STATISTICS, backlogs.pending_statistics),
            (definitions.OPEN_PAYMENTS, backlogs.open_payments),
            (definitions.OPEN_REFUNDS, backlogs.open_refunds),
            (definitions.WAITING_EMAILS, backlogs.waiting_emails),
            (definitions.WAITING_DELIVERIES, backlogs.waiting_deliveries),
        ):
            found.append((metric, {(): [float(value)]}))
        return found
