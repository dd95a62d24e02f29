"""Counts the figures of one process in an array of numbers. Thread-safe; nothing here waits or raises."""

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import accumulate
from operator import mul
from typing import Final

from adapters.metrics import definitions
from adapters.metrics.definitions import LAYOUT
from adapters.metrics.series import MAX_ROUTES, OTHER, ROUTE, Kind, Layout, Metric
from adapters.metrics.shared_file import OwnRow
from scalecommerce_core.domain.order import RejectionReason
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.runs import RunStatus

_CONVERTOR: Final = re.compile(r":\w+(?=\})")


class Recorder:
    """The counters, gauges and histograms of one process.

    Labels are given in the order of their definition. A value that is not defined counts as `OTHER` if the label has
    this value, and is otherwise not counted.
    """

    def __init__(self, row: OwnRow | None = None, layout: Layout = LAYOUT) -> None:
        """`row` is shared with the exporter; None: numbers that no exporter reads."""
        self.layout = layout
        self.numbers = memoryview(bytearray(8 * layout.length)).cast("d") if row is None else row.numbers
        self._row = row
        self._lock = threading.Lock()
        self.name_routes([])

    def name_routes(self, templates: Sequence[str]) -> None:
        """Set the values of `ROUTE`, with convertors as in `/products/{id:id}/`; raise ValueError for too many.

        To be called before the first request, with the same templates in all processes of a program.
        """
        if len(templates) >= MAX_ROUTES:
            raise ValueError(f"{len(templates)} routes: at most {MAX_ROUTES - 1} can be counted.")
        self.routes = [*templates, OTHER]
        self._labels = {metric.name: _places(metric, self.routes) for metric in self.layout.metrics}
        if self._row is not None and templates:
            self._row.name_routes([_CONVERTOR.sub("", template) for template in self.routes])

    def place(self, metric: Metric, *labels: str) -> int | None:
        """Where the series begins in the array; None if it is not defined."""
        place = self.layout.offsets[metric.name]
        for (values, step, other), label in zip(self._labels[metric.name], labels, strict=True):
            index = values.get(label, other)
            if index is None:
                return None
            place += index * step
        return place

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """Add to a counter."""
        place = self.place(metric, *labels)
        if place is not None:
            with self._lock:
                self.numbers[place] += amount

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        place = self.place(metric, *labels)
        if place is not None:
            self.numbers[place] = value

    def observe(self, metric: Metric, values: Sequence[float], *labels: str) -> None:
        """Add values to a histogram."""
        place = self.place(metric, *labels)
        if place is None or not values:
            return
        numbers, buckets = self.numbers, metric.buckets
        last = place + len(buckets) + 1
        with self._lock:
            for value in values:
                numbers[place + bisect_left(buckets, value)] += 1.0
                numbers[last] += value


def _places(metric: Metric, routes: Sequence[str]) -> "list[tuple[dict[str, int], int, int | None]]":
    """For each label: the index of each value, the distance of two indexes, and the index of `OTHER`."""
    sizes = [MAX_ROUTES if label == ROUTE else len(values) for label, values in metric.labels.items()]
    steps = [*accumulate(reversed([*sizes[1:], metric.width]), mul)][::-1] if sizes else []
    found = []
    for (label, values), step in zip(metric.labels.items(), steps, strict=True):
        indexes = {value: index for index, value in enumerate(routes if label == ROUTE else values)}
        found.append((indexes, step, indexes.get(OTHER)))
    return found


class HttpMeasurements:
    """Counts requests, on the event loop alone. Called for each one, so the places of its series are cached."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._places: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._buckets = definitions.RESPONSE_SECONDS.buckets
        self._sum = len(self._buckets) + 1
        self._numbers = recorder.numbers

    def __call__(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count a response that began `seconds` after its request; `route` is None for an unknown path."""
        key = route or OTHER, method, status
        places = self._places.get(key) or self._find(*key)
        numbers = self._numbers
        begin = places[1]
        # Without a lock: nothing else writes these series.
        numbers[places[0]] += 1.0
        numbers[begin + bisect_left(self._buckets, seconds)] += 1.0
        numbers[begin + self._sum] += seconds

    def _find(self, route: str, method: str, status: int) -> tuple[int, int]:
        method = method if method in definitions.METHODS else OTHER
        requests = self._recorder.place(definitions.REQUESTS, route, method, f"{status // 100}xx")
        seconds = self._recorder.place(definitions.RESPONSE_SECONDS, route, method)
        if requests is None or seconds is None:
            raise ValueError(f"{status} is no status of a response.")
        # Clients choose the method, and there are many statuses: the memory is bounded.
        if len(self._places) < MAX_ROUTES * len(definitions.METHODS):
            self._places[route, method, status] = requests, seconds
        return requests, seconds


class MarketMeasurements:
    """`ports.Measurements` on a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def orders_received(self, answers: Mapping[str, int], duration: timedelta) -> None:
        for answer, count in answers.items():
            self._recorder.add(definitions.ORDERS_RECEIVED, count, answer)
        if total := sum(answers.values()):
            self._recorder.observe(definitions.INTAKE_ORDERS, [float(total)])
            self._recorder.observe(definitions.INTAKE_SECONDS, [max(0.0, duration.total_seconds())])

    def orders_decided(self, reserved: Sequence[timedelta], rejected: Sequence[timedelta]) -> None:
        # The clock of the worker may be behind that of the process that took the order.
        for verdict, durations in (("reserved", reserved), ("rejected", rejected)):
            seconds = [max(0.0, each.total_seconds()) for each in durations]
            self._recorder.observe(definitions.VERDICT_SECONDS, seconds, verdict)

    def orders_rejected(self, reasons: Mapping[RejectionReason, int]) -> None:
        for reason, count in reasons.items():
            self._recorder.add(definitions.REJECTIONS, count, reason.value)

    def order_deferred(self) -> None:
        self._recorder.add(definitions.ORDERS_DEFERRED, 1)

    def prices_decided(self, decisions: int, guardrails: Mapping[Guardrail, int]) -> None:
        self._recorder.add(definitions.PRICES_DECIDED, decisions)
        for rail, count in guardrails.items():
            self._recorder.add(definitions.GUARDRAILS, count, str(rail.name).lower())

    def run_ended(self, status: RunStatus) -> None:
        self._recorder.add(definitions.RUNS_ENDED, 1, status.value.lower())


SAMPLE_SECONDS: Final = 1.0


class Sampler:
    """Reads figures that other objects hold, once a second, into a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._gauges: list[tuple[Metric, Sequence[str], Callable[[], float]]] = []
        self._counters: list[tuple[Metric, Sequence[str], Callable[[], float]]] = []
        self._last: dict[int, float] = {}
        self._stop = threading.Event()

    def watch(self, metric: Metric, read: Callable[[], float], *labels: str) -> None:
        """Sample `read` from now on. A counter that decreases began anew at 0."""
        (self._counters if metric.kind is Kind.COUNTER else self._gauges).append((metric, labels, read))

    def start(self) -> None:
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def sample(self) -> None:
        for metric, labels, read in self._gauges:
            self._recorder.set(metric, read(), *labels)
        for number, (metric, labels, read) in enumerate(self._counters):
            value, last = read(), self._last.get(number, 0.0)
            self._recorder.add(metric, value - last if value >= last else value, *labels)
            self._last[number] = value

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.sample()
