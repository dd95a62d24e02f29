"""Measure pricing experiments in simulated shops.

How often the 95 % interval contains the true lift, how wide it is, how often an experiment without a lift raises a
false alarm when it is looked at every week, and how soon a lift is proven.
"""

import argparse
import os
import time
from collections.abc import Mapping
from functools import partial
from statistics import fmean, median
from typing import Final

from attrs import evolve

from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.simulation.experiment_panels import ShopModel, simulate_hold_out, simulate_switchback
from scalecommerce_core.simulation.market_experiments import run_market_experiment
from scalecommerce_core.simulation.marketplace import DEMANDS, Marketplace

SHOPS: Final[Mapping[str, ShopModel]] = {
    "base": ShopModel(),
    "zipf": ShopModel(zipf=True),
    "without lift": ShopModel(lift=0.0, lift_spread=0.0),
    "uneven lift": ShopModel(lift_spread=0.15),
    "drifting products": ShopModel(drift=0.02),
    "300 products": ShopModel(products=300),
    "half held out": ShopModel(share=0.5),
}
"""Hold-outs. The base has 2,000 products, 20 % of them held out, for 26 weeks after 26 weeks at one price."""
PERIOD: Final = 2
"""Measured weeks in a period of a switchback."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000, help="experiments of each shop")
    parser.add_argument("--peeking-runs", type=int, default=400, help="experiments that are looked at every week")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worlds", type=int, default=40, help="simulated marketplaces whose prices the engine sets")
    parser.add_argument("--only", choices=[*SHOPS, "switchback", "marketplace"], help="only this shop")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name, shop in SHOPS.items():
        if arguments.only in {None, name}:
            _measure_intervals(name, shop, arguments.runs, arguments.seed)
    for name in ("base", "zipf"):
        if arguments.only in {None, name}:
            _measure_peeking(name, SHOPS[name], arguments.peeking_runs, arguments.seed)
    if arguments.only in {None, "switchback"}:
        _measure_switchbacks(arguments.runs, arguments.seed)
    if arguments.only in {None, "marketplace"}:
        _measure_marketplaces(arguments.worlds, arguments.seed)


def _measure_intervals(name: str, shop: ShopModel, runs: int, seed: int) -> None:
    begun, contained, widths, errors = time.perf_counter(), 0, [], []
    for run in range(runs):
        panel = simulate_hold_out(shop, seed, run)
        estimate = panel.estimate(shop.weeks)
        if estimate is None:
            continue
        interval, lift = estimate.fixed_interval(), panel.lift[-1]
        contained += interval.low <= lift <= interval.high
        widths.append(interval.half_width)
        errors.append(estimate.lift - lift)
    print(
        f"hold-out, {name}: coverage {contained / runs:.1%} of {runs:,}, half-width {100 * fmean(widths):.2f} points"
        f" (median {100 * median(widths):.2f}), mean error {100 * fmean(errors):+.2f}"
        f" ({time.perf_counter() - begun:.0f} s)",
        flush=True,
    )


def _measure_peeking(name: str, shop: ShopModel, runs: int, seed: int) -> None:
    for said, lift in (("without a lift", 0.0), ("with a lift of 6 %", 0.06)):
        first: list[int] = []
        for run in range(runs):
            panel = simulate_hold_out(evolve(shop, lift=lift, lift_spread=0.0), seed + 1, run)
            for week in range(1, shop.weeks + 1):
                estimate = panel.estimate(week)
                if estimate is None:
                    continue
                interval = estimate.repeated_interval(week / shop.weeks)
                if not interval.low <= 0.0 <= interval.high:
                    first.append(week)
                    break
        weeks = f", after {median(first):.0f} weeks (median)" if first else ""
        print(f"hold-out, {name}, looked at every week {said}: proven in {len(first) / runs:.1%}{weeks}", flush=True)


def _measure_switchbacks(runs: int, seed: int) -> None:
    shop = ShopModel(products=300, weeks=52)
    count = shop.weeks // PERIOD
    contained, widths = 0, []
    for run in range(runs):
        switchback = simulate_switchback(shop, seed, run, period=PERIOD)
        estimate = switchback.estimate(count)
        if estimate is not None:
            interval = estimate.fixed_interval()
            contained += interval.low <= switchback.lift <= interval.high
            widths.append(interval.half_width)
    same, alarms = evolve(shop, lift=0.0, lift_spread=0.0), 0
    for run in range(runs):
        switchback = simulate_switchback(same, seed + 1, run, period=PERIOD)
        estimates = [(done, switchback.estimate(done)) for done in range(2, count + 1, 2)]
        intervals = [each.repeated_interval(done / count) for done, each in estimates if each is not None]
        alarms += any(not interval.low <= 0.0 <= interval.high for interval in intervals)
    print(
        f"switchback, {count} periods of {PERIOD} weeks: coverage {contained / runs:.1%}, half-width"
        f" {100 * fmean(widths):.2f} points; without a lift, looked at after every pair: {alarms / runs:.1%} proven",
        flush=True,
    )


def _measure_marketplaces(worlds: int, seed: int) -> None:
    contained, widths, errors, lifts = 0, [], [], []
    for world in range(worlds):
        demand = DEMANDS[world % len(DEMANDS)]
        market = partial(
            Marketplace, demand=demand, drifting=False, seed=1_000 * seed + world, products=2_000, epochs=52
        )
        found = run_market_experiment(market, ElasticityLearning(), seed=1_000 * seed + world)
        estimate = found.estimate()
        if estimate is None:
            continue
        interval = estimate.fixed_interval()
        contained += interval.low <= found.lift <= interval.high
        widths.append(interval.half_width)
        errors.append(estimate.lift - found.lift)
        lifts.append(found.lift)
    print(
        f"hold-out, {worlds} marketplaces of 2,000 products priced by the engine: coverage {contained / worlds:.1%},"
        f" half-width {100 * fmean(widths):.2f} points, mean lift {100 * fmean(lifts):.2f} %,"
        f" mean error {100 * fmean(errors):+.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
