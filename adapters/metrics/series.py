"""Metrics with their labels, and the place of each series in an array of numbers.

All values of a label are known when a process starts, so each series has a fixed place, and counting is an addition to
an element of an array that the processes of one program share.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import product
from math import prod
from typing import Final

from attrs import field, frozen

ROUTE: Final = "route"
"""The label whose values are the templates of the paths of the HTTP API and the pages."""
MAX_ROUTES: Final = 512
OTHER: Final = "other"
"""The value of a label for everything that is not one of its other values."""


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Scope(StrEnum):
    """Where the numbers of a metric come from."""

    PROCESSES = "processes"
    """Counted by processes; an exporter adds up the processes of its program."""
    DATABASE = "database"
    """Read from the database at a scrape: all exporters of a deployment show the same numbers."""
    SYSTEM = "system"
    """Read from the operating system for each process."""


class Program(StrEnum):
    """A program with an exporter."""

    API = "api"
    WORKER = "worker"
    BEAT = "beat"


class Merge(StrEnum):
    """How a gauge of several processes becomes one number."""

    SUM = "sum"
    MAX = "max"


@frozen
class Metric:
    """A metric; `labels` has all values of each label. Only API processes have the values of `ROUTE`."""

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, Sequence[str]] = field(factory=dict)
    buckets: Sequence[float] = ()
    """Upper bounds of a histogram, without infinity."""
    scope: Scope = Scope.PROCESSES
    merge: Merge = Merge.SUM
    programs: frozenset[Program] = frozenset(Program)
    """The programs that export it."""

    @property
    def width(self) -> int:
        """Numbers of one series. A histogram has one for each bucket, one beyond all of them, and the sum."""
        return len(self.buckets) + 2 if self.kind is Kind.HISTOGRAM else 1

    @property
    def series(self) -> int:
        return prod(MAX_ROUTES if label == ROUTE else len(values) for label, values in self.labels.items())

    def label_values(self, routes: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """The values of the labels of each series, in the order of their places; `routes` has up to `MAX_ROUTES`."""
        padded = [*routes, *[""] * (MAX_ROUTES - len(routes))]
        return product(*(padded if label == ROUTE else values for label, values in self.labels.items()))


@frozen
class Layout:
    """The places of metrics in an array of numbers: the offset of each, by name, and the length of the array."""

    metrics: Sequence[Metric]
    offsets: Mapping[str, int]
    length: int

    @classmethod
    def of(cls, metrics: Sequence[Metric]) -> "Layout":
        """The places of those `metrics` that processes count."""
        counted = [metric for metric in metrics if metric.scope is Scope.PROCESSES]
        offsets, end = {}, 0
        for metric in counted:
            offsets[metric.name] = end
            end += metric.series * metric.width
        return cls(counted, offsets, end)
