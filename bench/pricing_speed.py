"""Measure the time in which a pricing policy learns and decides for a million products, in memory, on one core."""

import argparse
import os
import statistics
import time
from datetime import UTC, datetime

import numpy as np

from scalecommerce_core.domain.identifiers import AccountId, PolicyId
from scalecommerce_core.pricing.batches import slices
from scalecommerce_core.pricing.breaker import check_breaker
from scalecommerce_core.pricing.decisions import decide
from scalecommerce_core.pricing.interface import State
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.signals import Signals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--policy", default="elasticity_learning")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    signals = _signals(arguments.products, arguments.seed)
    policy = PricingPolicy(PolicyId(1), AccountId(1), "Speed", datetime.now(UTC), policy=arguments.policy)
    strategy = policy.strategy()
    state = strategy.start(signals, {})
    seconds = []
    for epoch in range(arguments.runs):
        begun = time.perf_counter()
        run = []
        parts: list[State] = []
        for part in slices(len(signals)):
            rows = signals.rows(part)
            learned = strategy.update(state.rows(part), rows)
            run.append(decide(policy, learned, rows, epoch, strategy=strategy))
            parts.append(learned)
        limited = check_breaker(policy, run).acts
        seconds.append(time.perf_counter() - begun)
        changes = sum(int(decisions.moves.sum()) for decisions in run)
        breaker = "limits the run" if limited else "not tripped"
        print(f"run {epoch}: {seconds[-1]:.3f} s, {changes:,} price changes, circuit breaker {breaker}")
    begun = time.perf_counter()
    strategy.pool(state, signals)
    print(f"median {statistics.median(seconds):.3f} s; pooling across categories {time.perf_counter() - begun:.3f} s")


def _signals(products: int, seed: int) -> Signals:
    rng = np.random.default_rng(seed)
    reference = np.exp(rng.normal(8, 1, products)).astype(np.int64) + 100
    price = np.rint(reference * rng.uniform(0.8, 1.2, products)).astype(np.int64)
    views = rng.poisson(np.exp(rng.normal(5, 1, products))).astype(np.float64)
    return Signals.of(
        product=np.arange(products),
        group=rng.integers(0, 500, products),
        price=price,
        reference=reference,
        cost=(reference * rng.uniform(0.4, 0.8, products)).astype(np.int64),
        min_price=reference // 2,
        max_price=reference * 2,
        median_90d=reference,
        lowest_1d=price,
        highest_1d=price,
        lowest_30d=np.minimum(price, reference),
        highest_30d=np.maximum(price, reference),
        views=views,
        units=rng.binomial(views.astype(np.int64), 0.025).astype(np.float64),
        since_change=rng.choice([7.0, 14.0], products),
        history_days=rng.uniform(0, 1000, products),
        stock=rng.poisson(50, products).astype(np.float64),
    )


if __name__ == "__main__":
    main()
