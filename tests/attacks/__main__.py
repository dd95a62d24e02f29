"""Attacks on a running engine, each beside an honest load: `python -m tests.attacks`."""

import argparse
import json
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from attrs import asdict, evolve
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.orders_load.checkout import THIS, Checkout, CheckoutUnusable
from tests.attacks.attack import Attack, AttackReport, Phase, missed_bars
from tests.attacks.engine import attacked_engine
from tests.attacks.runner import Schedule, known_attacks, run_attack, select_attacks

MEGABYTE = 1024 * 1024
WIDTH = 150
"""Columns of the report in a file or pipe."""


def main() -> int:
    arguments = _parser().parse_args()
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    if not out.is_terminal:
        out.width = WIDTH
    if arguments.list:
        for attack in known_attacks():
            out.print(f"{attack.topic:<17} {attack.name:<20} {type(attack).__doc__}", markup=False)
        return 0
    # SIGTERM ends all processes in order, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    checkout = Checkout(arguments.engine.resolve()) if arguments.engine else THIS
    try:
        attacks = select_attacks(arguments.only)
        checkout.check()
    except (CheckoutUnusable, ValueError) as error:
        err.print(str(error), markup=False)
        return 2
    err.print(f"Engine: {checkout.version}, {checkout.root}", markup=False)
    try:
        reports = _run_all(attacks, checkout, evolve(Schedule(), attack=arguments.seconds), err)
    except KeyboardInterrupt:
        err.print("Interrupted; all processes have been ended.")
        return 130
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(report) for report, _ in reports], indent=2))
    out.print(_table([report for report, _ in reports]))
    failed = [(report, missed) for report, missed in reports if missed]
    for report, missed in failed:
        out.print(f"\n{report.name} ({report.topic}):", markup=False)
        for sentence in missed:
            out.print(f"  {sentence}", markup=False)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.attacks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="one attack, or all of a topic such as bodies; may be repeated",
    )
    parser.add_argument("--seconds", type=float, default=20, help="length of each attack (default 20)")
    parser.add_argument(
        "--engine", type=Path, metavar="DIR", help="attack the engine of this checkout (with its .venv), not our own"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--list", action="store_true", help="list the attacks")
    return parser


def _run_all(
    attacks: list[Attack], checkout: Checkout, schedule: Schedule, err: Console
) -> list[tuple[AttackReport, list[str]]]:
    """Run each attack on a fresh engine; return the reports, each with what does not hold."""
    reports = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        for number, attack in enumerate(attacks, 1):
            task = progress.add_task("", total=None)
            on_phase = partial(_show, progress, task, f"{number} of {len(attacks)}: {attack.name}")
            on_phase("starting an engine")
            with (
                tempfile.TemporaryDirectory(prefix="attacks-") as directory,
                attacked_engine(Path(directory), checkout, attack.settings) as engine,
            ):
                report = run_attack(attack, engine, schedule, on_phase)
            missed = [*(missed_bars(report) if attack.has_latency_bars else ()), *attack.check(report)]
            reports.append((report, missed))
            progress.remove_task(task)
            err.print(f"{attack.name}: {_describe(report)}", markup=False)
    return reports


def _show(progress: Progress, task: TaskID, attack: str, phase: str) -> None:
    progress.update(task, description=f"{attack}, {phase}")


def _describe(report: AttackReport) -> str:
    notes = ", ".join(
        f"{name} {value:.1f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in report.figures.notes.items()
    )
    answers = ", ".join(f"{answer}: {count}" for answer, count in report.figures.answers.most_common(6))
    return f"{report.figures.requests:,} requests; {answers or 'no answers'}{'; ' if notes else ''}{notes}"


def _table(reports: list[AttackReport]) -> Table:
    table = Table(
        "attack", "phase", "read p50", "p99", "newcomer p99", "order p50", "p99", "log-in p50", "failed",
        "CPU %", "peak MB", "MB", "peak sockets",
        show_edge=False, title="Milliseconds of honest clients; use of the API processes",
    )  # fmt: skip
    for column in table.columns[2:]:
        column.justify = "right"
    for report in reports:
        for name, phase in (("before", report.before), ("during", report.during), ("after", report.after)):
            table.add_row(report.name if name == "before" else "", name, *_cells(phase))
    return table


def _cells(phase: Phase) -> list[str]:
    def cell(kind: str, figure: str) -> str:
        latency = phase.honest.get(kind)
        return "" if latency is None else f"{getattr(latency, figure):.1f}"

    failed = sum(sum(latency.failed.values()) for latency in phase.honest.values())
    usage = phase.usage
    return [
        cell("read", "p50"), cell("read", "p99"), cell("newcomer", "p99"), cell("order", "p50"), cell("order", "p99"),
        cell("log_in", "p50"), f"{failed} of {sum(latency.count for latency in phase.honest.values())}",
        f"{usage.cpu_seconds / usage.seconds:.0%}", f"{usage.peak_rss / MEGABYTE:,.0f}",
        f"{usage.rss / MEGABYTE:,.0f}", str(usage.peak_sockets),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
