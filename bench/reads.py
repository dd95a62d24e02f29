"""Reads of a million products over HTTP, against the bare SQL through pgbench and an endpoint that does nothing."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from attrs import asdict
from rich.console import Console
from rich.table import Table

from adapters.embedded.postgres import DEFAULT_SETTINGS
from bench.orders_load.market import SERVER_SETTINGS
from bench.orders_load.saturation import WrkMissing, find_wrk
from bench.reads_load.market import Sizes
from bench.reads_load.plan import KINDS, OPEN_KINDS, Plan, Round, Steady, prepared

GOALS: Final = {"detail_hot": 0.8, "detail_cold": 0.3}
"""Requests per second ÷ those of the endpoint that does nothing."""
P99_GOALS: Final = {"search": 15, "typo": 40, "search_facets": 30}
"""Milliseconds, at half of the load that saturates."""


def main() -> int:
    arguments = _parser().parse_args()
    quick = arguments.quick
    products = arguments.products or (100_000 if quick else Sizes().products)
    plan = Plan(
        sizes=Sizes(products, products // 2),
        kinds=[kind for kind in KINDS if not arguments.only or kind in arguments.only],
        open_kinds=[kind for kind in OPEN_KINDS if not arguments.only or kind in arguments.only],
        rounds=arguments.rounds or (2 if quick else Plan().rounds),
        seconds=arguments.seconds or (4 if quick else Plan().seconds),
        connections=arguments.connections,
        open_seconds=10 if quick else Plan().open_seconds,
    )
    console = Console(stderr=True, highlight=False)
    # As Ctrl-C does: everything that was started is ended in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = {**DEFAULT_SETTINGS, **SERVER_SETTINGS}
    console.print(f"PostgreSQL: {', '.join(f'{name}={value}' for name, value in settings.items())}")
    console.print(f"Cores: {os.cpu_count()}; rounds: {plan.rounds} of {plan.seconds:g} s; wrk: {plan.connections}")
    try:
        find_wrk()
        with prepared(plan, lambda line: console.print(line, markup=False), arguments.keep) as bench:
            rounds = bench.rounds()
            steady = bench.steady()
    except WrkMissing as error:
        console.print(str(error), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Ended before its time; all that was started has ended too.")
        return 130
    figures = [_figures(kind, [each for each in rounds if each.kind == kind]) for kind in plan.kinds]
    if arguments.json:
        json.dump(
            {
                "plan": asdict(plan),
                "rounds": [asdict(each) for each in rounds],
                "figures": figures,
                "steady": [asdict(each) for each in steady],
            },
            sys.stdout,
            indent=2,
        )
        print()
    else:
        if figures:
            Console().print(_table(figures))
        if steady:
            Console().print(_steady_table(steady))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.reads", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=sorted({*KINDS, *OPEN_KINDS}),
        help="one read; may be repeated (default: all)",
    )
    parser.add_argument("--products", type=int, help="how many (default 1,000,000), and half as many orders")
    parser.add_argument("--rounds", type=int, help="runs of each side (default 5)")
    parser.add_argument("--seconds", type=float, help="length of a run (default 8)")
    parser.add_argument("--connections", type=int, default=128, help="kept connections of wrk (default 128)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the seeded catalogue there, or use that one")
    parser.add_argument("--quick", action="store_true", help="100,000 products, two runs of 4 s: no measurement")
    parser.add_argument("--json", action="store_true", help="everything that was measured, as JSON")
    return parser


def _figures(kind: str, rounds: Sequence[Round]) -> dict[str, Any]:
    ratios = [each.rate / each.nothing for each in rounds]
    return {
        "read": kind,
        "per_second": median(each.rate for each in rounds),
        "microseconds": median(each.cost for each in rounds),
        "cost_to_nothing": median(each.cost / each.nothing_cost for each in rounds),
        "p50_ms": median(each.answers.p50 for each in rounds),
        "p99_ms": median(each.answers.p99 for each in rounds),
        "nothing": median(each.nothing for each in rounds),
        "to_nothing": median(ratios),
        "to_nothing_range": [min(ratios), max(ratios)],
        "goal": GOALS.get(kind),
        "pgbench": median(each.statements for each in rounds),
        "to_pgbench": median(each.rate / each.statements for each in rounds),
        "failed": sum(each.answers.refused + each.answers.broken for each in rounds),
    }


def _table(figures: Sequence[dict[str, Any]]) -> Table:
    names = ("read", "requests/s", "p50 ms", "p99 ms", "÷ nothing", "range", "goal", "CPU µs", "÷ nothing", "÷ pgbench")
    table = Table(*names, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for each in figures:
        low, high = each["to_nothing_range"]
        table.add_row(
            each["read"],
            f"{each['per_second']:,.0f}",
            f"{each['p50_ms']:.1f}",
            f"{each['p99_ms']:.1f}",
            f"{each['to_nothing']:.2f}",
            f"{low:.2f} … {high:.2f}",
            f"≥ {each['goal']}" if each["goal"] else "",
            f"{each['microseconds']:.0f}",
            f"{each['cost_to_nothing']:.2f}",
            f"{each['to_pgbench']:.2f}",
        )
    return table


def _steady_table(steady: Sequence[Steady]) -> Table:
    names = (
        "open loop",
        "saturated/s",
        "at /s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "goal",
        "slowest ms",
        "late p99 ms",
        "failed",
    )
    table = Table(*names, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for each in steady:
        table.add_row(
            each.kind,
            f"{each.saturated:,.0f}",
            f"{each.rate:,.0f}",
            *(f"{value:.1f}" for value in (each.p50, each.p95, each.p99)),
            f"≤ {P99_GOALS[each.kind]}",
            *(f"{value:.1f}" for value in (each.slowest, each.late)),
            str(each.failed),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
