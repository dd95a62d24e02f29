"""Documentation, dashboard and alert rules name the metrics that the code exports."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from adapters.metrics.definitions import METRICS
from adapters.metrics.series import ROUTE, Kind, Metric, Program, Scope
from tests.project.promtool import find_promtool
from tests.unit.support.http_operations import endpoints

ROOT: Final = Path(__file__).parents[2]
MONITORING: Final = ROOT / "deploy/monitoring"
_PATHS: Final = {endpoint.template for endpoint in endpoints()}
_PROGRAMS: Final = {Program.API: "`serve`", Program.WORKER: "`worker`", Program.BEAT: "`beat`"}


def documented_metrics() -> list[str]:
    text = (ROOT / "docs/operations.md").read_text()
    table = text.split("<!-- metrics -->\n")[1].split("\n\n")[0]
    return table.splitlines()


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    programs = ", ".join(name for program, name in _PROGRAMS.items() if program in metric.programs)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {programs} | {metric.help} |"


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    head = ["| metric | type | labels | exported by | meaning |", "|---|---|---|---|---|"]
    assert documented_metrics() == [*head, *map(row, METRICS)]


_SUFFIXES: Final = {"_bucket", "_sum", "_count"}
_KNOWN: Final = {
    metric.name + suffix for metric in METRICS for suffix in (_SUFFIXES if metric.kind is Kind.HISTOGRAM else {""})
}


def _expressions(panels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", ()))
        yield from _expressions(panel.get("panels", ()))


def _dashboard() -> list[str]:
    return list(_expressions(json.loads((MONITORING / "dashboard.json").read_text())["panels"]))


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The names of our metrics, and the values of labels that each selects."""
    for name, selected in re.findall(r"\b(scalecommerce_\w+)(\{[^}]*\})?", expression):
        yield name, dict(re.findall(r'(\w+)="([^"]*)"', selected))


def _base(name: str) -> Metric:
    return next(metric for metric in METRICS if name in {metric.name, *(metric.name + end for end in _SUFFIXES)})


@pytest.mark.parametrize("expression", [*_dashboard(), *(rule["expr"] for rule in _rules())])
def test_dashboard_and_alerts_use_metrics_and_labels_that_exist(expression: str) -> None:
    found = [*_selectors(expression)]
    assert found or "up{" in expression
    for name, selected in found:
        assert name in _KNOWN, name
        for label, value in selected.items():
            values = _PATHS if label == ROUTE else _base(name).labels.get(label, ())
            assert value in values or label == "instance", (name, label, value)


def test_every_metric_that_is_not_of_processes_is_on_the_dashboard() -> None:
    shown = {_base(name).name for expression in _dashboard() for name, _ in _selectors(expression)}
    assert shown >= {metric.name for metric in METRICS if metric.scope is not Scope.SYSTEM}


def test_each_alert_says_what_to_do_and_has_a_test() -> None:
    tested = (MONITORING / "alerts_test.yml").read_text()
    for rule in _rules():
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert f'alertname="{rule["alert"]}"' in tested, rule["alert"]


def test_the_documentation_lists_each_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    documented = re.findall(r"^\| `(ScaleCommerce\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert documented == [(rule["alert"], rule["labels"]["severity"]) for rule in _rules()]


@pytest.mark.parametrize(
    "arguments",
    [["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]],
    ids=" ".join,
)
def test_promtool_accepts_the_rules_and_their_tests(arguments: list[str]) -> None:
    promtool = find_promtool(os.environ)
    result = subprocess.run([promtool, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
