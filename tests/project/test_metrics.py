"""Documentation, dashboard and alert rules name the metrics that the code exports."""

from pathlib import Path
from typing import Final

from adapters.metrics.definitions import METRICS
from adapters.metrics.series import Metric, Server

ROOT: Final = Path(__file__).parents[2]
_PROGRAMS: Final = {Server.API: "`serve`", Server.WORKER: "`worker`", Server.BEAT: "`beat`"}


def documented_metrics() -> list[str]:
    text = (ROOT / "docs/operations.md").read_text()
    table = text.split("<!-- metrics -->\n")[1].split("\n\n")[0]
    return table.splitlines()


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    programs = ", ".join(name for server, name in _PROGRAMS.items() if server in metric.servers)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {programs} | {metric.help} |"


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    head = ["| metric | type | labels | exported by | meaning |", "|---|---|---|---|---|"]
    assert documented_metrics() == [*head, *map(row, METRICS)]
