"""Reads of a million products over HTTP, against the bare SQL through pgbench and endpoints that do nothing."""

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
from bench.orders_load.checkout import THIS, Checkout, CheckoutUnusable
from bench.orders_load.market import SERVER_SETTINGS
from bench.orders_load.saturation import WrkMissing, find_wrk
from bench.reads_load.market import Sizes
from bench.reads_load.plan import (
    EDITED_KINDS,
    KINDS,
    OPEN_KINDS,
    ReadBenchOptions,
    ReadRound,
    Steady,
    prepared,
    with_edits,
)

GOALS: Final = {"detail_hot": 0.8, "detail_cold": 0.3}
"""Requests per second ÷ those of a Starlette endpoint that does nothing."""
P99_GOALS: Final = {with_edits(kind): goal for kind, goal in {"search": 15, "typo": 40, "search_facets": 30}.items()}
"""Milliseconds, at half of the saturating rate, while products are edited."""


def main() -> int:
    arguments = _parser().parse_args()
    quick = arguments.quick
    products = arguments.products or (100_000 if quick else Sizes().products)
    options = ReadBenchOptions(
        sizes=Sizes(products, products // 2),
        kinds=[kind for kind in KINDS if not arguments.only or kind in arguments.only],
        open_kinds=[kind for kind in OPEN_KINDS if not arguments.only or kind in arguments.only],
        rounds=arguments.rounds or (2 if quick else ReadBenchOptions().rounds),
        seconds=arguments.seconds or (4 if quick else ReadBenchOptions().seconds),
        connections=arguments.connections,
        open_seconds=arguments.open_seconds or (10 if quick else ReadBenchOptions().open_seconds),
        search_indexes=arguments.search_index or ["postgresql"],
        checkout=Checkout(arguments.engine.resolve()) if arguments.engine else THIS,
    )
    console = Console(stderr=True, highlight=False)
    # SIGTERM ends all processes in order, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = {**DEFAULT_SETTINGS, **SERVER_SETTINGS}
    console.print(f"Engine: {options.checkout.version}, {options.checkout.root}")
    console.print(f"PostgreSQL: {', '.join(f'{name}={value}' for name, value in settings.items())}")
    console.print(
        f"Cores: {os.cpu_count()}; rounds: {options.rounds} of {options.seconds:g} s; wrk: {options.connections}"
    )
    try:
        find_wrk()
        options.checkout.check()
        with prepared(options, lambda line: console.print(line, markup=False), arguments.keep) as bench:
            rounds = bench.rounds()
            steady = bench.steady()
    except (WrkMissing, CheckoutUnusable) as error:
        console.print(str(error), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; all processes have been ended.")
        return 130
    names = [name for kind in options.kinds for name in (kind, *([with_edits(kind)] if kind in EDITED_KINDS else []))]
    figures = [_figures(name, [each for each in rounds if each.kind == name]) for name in names]
    if arguments.json:
        json.dump(
            {
                "engine": options.checkout.version,
                "plan": {**asdict(options), "checkout": str(options.checkout.root)},
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
    parser.add_argument("--open-seconds", type=float, help="length of a run in an open loop (default 30)")
    parser.add_argument("--connections", type=int, default=128, help="persistent connections of wrk (default 128)")
    parser.add_argument(
        "--search-index",
        action="append",
        choices=["postgresql", "memory"],
        help="the value of SEARCH_INDEX (default postgresql); repeated: open loops with each, side by side",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the seeded catalog there, or use it again")
    parser.add_argument(
        "--engine", type=Path, metavar="DIR", help="measure the engine of this checkout (with its .venv), not our own"
    )
    parser.add_argument("--quick", action="store_true", help="100,000 products, two runs of 4 s: not a measurement")
    parser.add_argument("--json", action="store_true", help="everything that was measured, as JSON")
    return parser


def _figures(kind: str, rounds: Sequence[ReadRound]) -> dict[str, Any]:
    ratios = [each.rate / each.starlette for each in rounds]
    return {
        "read": kind,
        "per_second": median(each.rate for each in rounds),
        "microseconds": median(each.cost for each in rounds),
        "cost_to_granian": median(each.cost / each.granian_cost for each in rounds),
        "cost_to_starlette": median(each.cost / each.starlette_cost for each in rounds),
        "p50_ms": median(each.answers.p50 for each in rounds),
        "p99_ms": median(each.answers.p99 for each in rounds),
        "granian": median(each.granian for each in rounds),
        "to_granian": median(each.rate / each.granian for each in rounds),
        "starlette": median(each.starlette for each in rounds),
        "to_starlette": median(ratios),
        "to_starlette_range": [min(ratios), max(ratios)],
        "goal": GOALS.get(kind),
        "pgbench": median(each.statements for each in rounds),
        "to_pgbench": median(each.rate / each.statements for each in rounds),
        "failed": sum(each.answers.refused + each.answers.broken for each in rounds),
        "edits_per_second": median(each.edits_per_second for each in rounds),
        "failed_edits": sum(each.failed_edits for each in rounds),
    }


def _table(figures: Sequence[dict[str, Any]]) -> Table:
    names = (
        "read",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "÷ Granian",
        "÷ Starlette",
        "range",
        "goal",
        "CPU µs",
        "÷ Granian",
        "÷ Starlette",
        "÷ pgbench",
    )
    table = Table(*names, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for each in figures:
        low, high = each["to_starlette_range"]
        table.add_row(
            each["read"],
            f"{each['per_second']:,.0f}",
            f"{each['p50_ms']:.1f}",
            f"{each['p99_ms']:.1f}",
            f"{each['to_granian']:.2f}",
            f"{each['to_starlette']:.2f}",
            f"{low:.2f} … {high:.2f}",
            f"≥ {each['goal']}" if each["goal"] else "",
            f"{each['microseconds']:.0f}",
            f"{each['cost_to_granian']:.2f}",
            f"{each['cost_to_starlette']:.2f}",
            f"{each['to_pgbench']:.2f}",
        )
    return table


def _steady_table(steady: Sequence[Steady]) -> Table:
    names = (
        "open loop",
        "search index",
        "saturated/s",
        "at /s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "goal",
        "slowest ms",
        "late p99 ms",
        "p99 ms from sending",
        "run-queue wait ms",
        "API µs",
        "failed",
    )
    table = Table(*names, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for each in steady:
        table.add_row(
            each.kind,
            each.search_index,
            f"{each.saturated:,.0f}",
            f"{each.rate:,.0f}",
            *(f"{value:.1f}" for value in (each.p50, each.p95, each.p99)),
            f"≤ {P99_GOALS[each.kind]}" if each.kind in P99_GOALS else "",
            *(f"{value:.1f}" for value in (each.slowest, each.late, each.p99_from_sending, each.run_queue_wait_ms)),
            f"{each.cost:.0f}",
            str(each.failed),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
