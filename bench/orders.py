"""Orders per second over HTTP, decided, against pgbench doing the same work as one transaction per order."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from statistics import median
from typing import Any, Final

from attrs import asdict
from rich.console import Console
from rich.table import Table

from adapters.embedded.postgres import DEFAULT_SETTINGS
from bench.orders_load.checkout import THIS, Checkout, CheckoutUnusable
from bench.orders_load.engine import EngineFailed
from bench.orders_load.market import SERVER_SETTINGS
from bench.orders_load.plan import Latency, OrderBench, OrderBenchOptions, Overload, Saturated, prepared
from bench.orders_load.rush import Rush
from bench.orders_load.saturation import WrkMissing, find_wrk

MODES: Final = ("uniform", "hot", "latency", "rush", "overload")
GOALS: Final = {
    "uniform": ("≥", 1.2),
    "hot": ("≥", 3.0),
    "rows": ("≥", 2.0),
    "hot_to_uniform": ("≥", 0.9),
    "answer_p99_ms": ("≤", 25.0),
    "verdict_p99_ms": ("≤", 100.0),
    "backlog_seconds": ("≤", 1.0),
}


def main() -> int:
    arguments = _parser().parse_args()
    options = OrderBenchOptions(runs=2, seconds=8, search_seconds=2) if arguments.quick else OrderBenchOptions()
    options = OrderBenchOptions(
        runs=arguments.runs or options.runs,
        seconds=arguments.seconds or options.seconds,
        search_seconds=options.search_seconds,
        connections=arguments.connections,
        overload_seconds=arguments.seconds or 60,
        api_processes=arguments.api_processes,
        overload_processes=arguments.processes,
        checkout=Checkout(arguments.engine.resolve()) if arguments.engine else THIS,
    )
    modes = arguments.only or MODES
    console = Console(stderr=True, highlight=False)
    # SIGTERM ends all processes in order, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        find_wrk()
        options.checkout.check()
        report = _measured(options, modes, console)
    except (WrkMissing, CheckoutUnusable, EngineFailed) as error:
        console.print(str(error), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; all processes have been ended.")
        return 130
    if arguments.json:
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        Console().print(_table(report["figures"]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.orders", description=__doc__)
    parser.add_argument("--only", action="append", choices=MODES, help="one part; may be repeated (default: all)")
    parser.add_argument("--runs", type=int, help="runs of each side (default 5)")
    parser.add_argument("--seconds", type=float, help="length of a run (default 30, overload 60)")
    parser.add_argument("--connections", type=int, default=256, help="persistent connections of wrk (default 256)")
    parser.add_argument("--processes", type=int, default=2, help="API processes of the part `overload` (default 2)")
    parser.add_argument("--api-processes", type=int, default=1, help="API processes of the other parts (default 1)")
    parser.add_argument(
        "--engine", type=Path, metavar="DIR", help="measure the engine of this checkout (with its .venv), not our own"
    )
    parser.add_argument("--quick", action="store_true", help="two runs of 8 s: a first impression, not a measurement")
    parser.add_argument("--json", action="store_true", help="everything that was measured, as JSON")
    return parser


def _measured(options: OrderBenchOptions, modes: "tuple[str, ...] | list[str]", console: Console) -> dict[str, Any]:
    settings = {**DEFAULT_SETTINGS, **SERVER_SETTINGS}
    console.print(f"Engine: {options.checkout.version}, {options.checkout.root}")
    console.print(f"PostgreSQL, for both sides: {', '.join(f'{name}={value}' for name, value in settings.items())}")
    console.print(
        f"Cores: {os.cpu_count()}; runs: {options.runs} of {options.seconds:g} s; connections: {options.connections}"
    )
    with prepared(options, lambda line: console.print(line, markup=False)) as bench:
        saturated = {mode: bench.saturated(mode) for mode in ("uniform", "hot") if mode in modes}
        latencies = _latencies(bench, saturated) if "latency" in modes else []
        rush = bench.rush() if "rush" in modes else None
        overload = bench.overload() if "overload" in modes else None
    return {
        "server": settings,
        "engine": options.checkout.version,
        "plan": {**asdict(options), "checkout": str(options.checkout.root)},
        "saturated": [asdict(each) for each in saturated.values()],
        "latencies": [asdict(each) for each in latencies],
        "rush": None if rush is None else {**asdict(rush), "holds": rush.holds},
        "overload": None if overload is None else asdict(overload),
        "figures": _figures(saturated, latencies, rush, overload),
    }


def _latencies(bench: OrderBench, saturated: dict[str, Saturated]) -> list[Latency]:
    """Measure latencies at half of the saturating rate, which is measured first if it is not known."""
    modes = saturated or {mode: bench.saturated(mode) for mode in ("uniform", "hot")}
    return [bench.latency(mode, _decided(found) / 2) for mode, found in modes.items()]


def _decided(found: Saturated) -> float:
    return median(each.window.decided_per_second for each in found.rounds)


def _figures(
    saturated: dict[str, Saturated], latencies: list[Latency], rush: Rush | None, overload: Overload | None
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def row(name: str, value: "float | str", goal: str = "") -> None:
        sign, bar = GOALS.get(goal, ("", 0.0))
        rows.append({"figure": name, "value": value, "goal": f"{sign} {bar:g}" if sign else ""})

    for mode, found in saturated.items():
        rounds = found.rounds
        row(f"{mode}: pgbench, {found.clients} clients, orders/s", median(each.transactions for each in rounds))
        row(f"{mode}: engine, decided orders/s", _decided(found))
        row(f"{mode}: engine ÷ pgbench, median", median(each.ratio for each in rounds), mode)
        row(
            f"{mode}: engine ÷ pgbench that writes the engine's rows, median",
            median(r.ratio_of_rows for r in rounds),
            "rows",
        )
        row(f"{mode}: worst and best ratio", " … ".join(f"{f(r.ratio for r in rounds):.2f}" for f in (min, max)))
        behind = max(each.window.behind_at_last for each in rounds)
        keeps_up = all(each.window.is_keeping_up for each in rounds)
        row(f"{mode}: most undecided at the end of a run", f"{behind:,}{'' if keeps_up else ' (backlog grew)'}")
        row(f"{mode}: most events without a number at the end of a run", f"{max(r.unnumbered for r in rounds):,}")
        row(f"{mode}: requests refused or broken", sum(each.answers.refused + each.answers.broken for each in rounds))
    if {"uniform", "hot"} <= saturated.keys():
        row("hot ÷ uniform, engine", _decided(saturated["hot"]) / _decided(saturated["uniform"]), "hot_to_uniform")
    for each in latencies:
        at = f"{each.mode} at {each.rate:,.0f}/s"
        row(f"{at}: 202, p50 ms", each.answer_p50)
        row(f"{at}: 202, p99 ms", each.answer_p99, "answer_p99_ms")
        row(f"{at}: accepted to decided, p50 ms", each.verdict_p50)
        row(f"{at}: accepted to decided, p99 ms", each.verdict_p99, "verdict_p99_ms")
        row(f"{at}: the client's own lateness, p99 ms", each.late_p99)
    if rush is not None:
        row(f"rush: sold of {rush.units}, to {rush.buyers:,} buyers", rush.sold, "")
        row("rush: orders decided per second", rush.buyers / rush.seconds)
        row(f"rush: inconsistent samples, of {rush.samples}", len(rush.wrong))
        row("rush: deadlocks", rush.deadlocks)
    if overload is not None:
        measured, answers = overload.window, overload.answers
        row("overload: accepted orders/s", measured.accepted / measured.seconds)
        row("overload: decided orders/s", measured.decided_per_second)
        row("overload: accepted − decided at the end", f"{measured.behind_at_last:,}")
        row("overload: the same in seconds of work", overload.backlog_seconds, "backlog_seconds")
        row("overload: refused, of all requests", f"{answers.refused:,} of {answers.requests:,}")
    return rows


def _table(figures: list[dict[str, Any]]) -> Table:
    table = Table("figure", "goal")
    table.add_column("value", justify="right")
    for each in figures:
        value = each["value"]
        shown = value if isinstance(value, str) else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
        table.add_row(each["figure"], each["goal"], shown)
    return table


if __name__ == "__main__":
    sys.exit(main())
