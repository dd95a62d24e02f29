import re

from adapters.metrics import definitions
from adapters.metrics.definitions import METRICS
from adapters.metrics.series import ROUTE, Kind, Layout, Metric, Scope
from adapters.tasks.schedule import TASKS
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.runs import RunStatus

MAX_SERIES = 200
"""Series of a metric that has no route."""


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"scalecommerce_[a-z][a-z_]*[a-z]", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert metric.help.endswith("."), metric.name
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_each_label_has_a_closed_set_of_values() -> None:
    for metric in METRICS:
        for label, values in metric.labels.items():
            assert label == ROUTE or 0 < len(values) == len(set(values)) <= MAX_SERIES, metric.name
        assert ROUTE in metric.labels or metric.series <= MAX_SERIES, metric.name


def test_labels_of_tasks_are_those_of_the_schedule() -> None:
    assert set(definitions.TASKS) == {task.name for task in TASKS}


def test_each_guardrail_and_outcome_has_a_label() -> None:
    assert set(definitions.GUARDRAILS.labels["guardrail"]) == {str(rail.name).lower() for rail in Guardrail}
    assert {"done", "failed", "cancelled"} <= set(definitions.RUNS_ENDED.labels["outcome"])
    assert RunStatus.DECIDING.value.lower() not in definitions.RUNS_ENDED.labels["outcome"]


def test_places_do_not_overlap() -> None:
    histogram = Metric("h", Kind.HISTOGRAM, "H.", {"a": ("x", "y")}, (1.0, 2.0))
    read = Metric("d", Kind.GAUGE, "D.", scope=Scope.DATABASE)
    layout = Layout.of([histogram, read, Metric("c", Kind.COUNTER, "C.")])
    assert layout.offsets == {"h": 0, "c": 2 * 4}
    assert layout.length == 9
