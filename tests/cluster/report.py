"""The report: figures per kind of fault, the criteria, and the file with all measurements."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen
from rich.table import Table

from tests.cluster.cluster_run import Round
from tests.cluster.options import Options
from tests.cluster.verdict import COMMAND_DEADLINE, MARGIN, SAMPLING, RoundFigures, Totals, percentile_95


@frozen
class Criterion:
    """A criterion of the test, and what was found."""

    name: str
    found: str
    holds: bool


@frozen
class Report:
    options: Options
    rounds: Sequence[Round]
    figures: Sequence[RoundFigures]
    totals: Totals

    def criteria(self) -> list[Criterion]:
        criteria = [
            Criterion(f"{name}: 0", f"{count:,}", count == 0) for name, count in self.totals.violations().items()
        ]
        ready = max((each.ready_in_outage for each in self.figures), default=0.0)
        hanging = sum(each.is_ready_while_intake_hangs for each in self.figures)
        return [
            Criterion(f"faults: {self.options.faults}", str(len(self.rounds)), len(self.rounds) == self.options.faults),
            Criterion("orders acknowledged", f"{self.totals.acknowledged:,}", self.totals.acknowledged > 0),
            *criteria,
            self._outage(),
            Criterion(
                f"faults with /readyz 200 for more than {COMMAND_DEADLINE + SAMPLING:.0f} s without intake: 0",
                f"{hanging} (longest {ready:.1f} s)",
                hanging == 0,
            ),
        ]

    def _outage(self) -> Criterion:
        name = f"outage minus election, p95: at most {MARGIN:.0f} s"
        if not self.figures:
            return Criterion(name, "no fault", holds=False)
        excess = percentile_95(each.excess for each in self.figures)
        return Criterion(name, f"{excess:.1f} s", excess <= MARGIN)

    @property
    def is_passed(self) -> bool:
        return all(criterion.holds for criterion in self.criteria())

    def faults_table(self) -> Table:
        table = Table(
            "fault", "number", "election", "p95", "outage", "p95", "max", "minus election, p95", "max", "/readyz 200",
            "recovery", "p95", show_edge=False, title="Seconds: medians, 95th percentiles and maxima",
        )  # fmt: skip
        for column in table.columns[1:]:
            column.justify = "right"
        for kind in self.options.kinds:
            rounds = [each for each in self.figures if each.fault == kind]
            if rounds:
                table.add_row(kind, *_cells(rounds))
        if self.figures:
            table.add_section()
            table.add_row("all", *_cells(self.figures))
        return table

    def criteria_table(self) -> Table:
        table = Table("what must hold", "found", "", show_edge=False)
        table.columns[1].justify = "right"
        for criterion in self.criteria():
            table.add_row(criterion.name, criterion.found, "yes" if criterion.holds else "[bold red]NO[/]")
        return table

    def write(self, file: Path, **more: Any) -> None:
        document = {
            "options": asdict(self.options),
            "is_passed": self.is_passed,
            "criteria": [asdict(criterion) for criterion in self.criteria()],
            "totals": asdict(self.totals),
            "faults": [
                {**asdict(each), "excess": each.excess, **_names(round_)}
                for each, round_ in zip(self.figures, self.rounds, strict=True)
            ],
            **more,
        }
        file.write_text(json.dumps(document, indent=1) + "\n")


def describe(of: Round, figures: RoundFigures) -> str:
    parts = [
        f"{of.fault} of {of.former}: leader {of.leader} after {figures.election:.1f} s",
        f"outage {figures.outage:.1f} s ({figures.excess:+.1f})",
        f"/readyz 200 for {figures.ready_in_outage:.1f} s of it",
        f"healthy {figures.recovery:.0f} s after the end",
        f"{figures.orders:,} orders",
    ]
    if of.reinitialized:
        parts.append(f"copied anew: {', '.join(of.reinitialized)}")
    if of.restarts:
        parts.append("restarted: " + ", ".join(f"{name} {count} times" for name, count in of.restarts.items()))
    return "; ".join(parts)


def _names(of: Round) -> dict[str, Any]:
    return {
        "moment": of.moment,
        "former": of.former,
        "leader": of.leader,
        "reinitialized": of.reinitialized,
        "restarts": of.restarts,
    }


def _cells(rounds: Sequence[RoundFigures]) -> list[str]:
    def both(values: Iterable[float]) -> list[str]:
        known = list(values)
        return [f"{statistics.median(known):.1f}", f"{percentile_95(known):.1f}"]

    excess = [each.excess for each in rounds]
    return [
        str(len(rounds)),
        *both(each.election for each in rounds),
        *both(each.outage for each in rounds),
        f"{max(each.outage for each in rounds):.1f}",
        f"{percentile_95(excess):.1f}",
        f"{max(excess):.1f}",
        f"{max(each.ready_in_outage for each in rounds):.1f}",
        *both(each.recovery for each in rounds),
    ]
