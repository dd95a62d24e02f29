"""Runs one strategy in a simulated market and compares its profit with the highest possible expected profit."""

from collections.abc import Callable, Sequence

import numpy as np
from attrs import field, frozen

from scalecommerce_core.pricing.anomalies import Baseline, filter_anomalies
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.guardrails import apply_guardrails
from scalecommerce_core.pricing.interface import PricingStrategy
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.pricing.strategy_calls import call_pool, call_propose, call_start, call_update, is_unpriced
from scalecommerce_core.simulation.market import SimulatedMarket

POOL_EVERY = 4
"""Epochs between two calls of `pool`."""


@frozen(eq=False)
class Track:
    """Results of a strategy in a market: total profits per epoch, and profit shares per product at checkpoints."""

    policy: str
    earned: Floats
    best: Floats
    by_row: dict[int, Floats] = field(repr=False)
    """Percentage of the highest possible profit of each product, by number of epochs."""
    prices: Floats = field(repr=False)
    """Prices of the first few products, one row per epoch."""
    start_prices: Floats = field(repr=False)
    """Prices of the same products before the first epoch."""
    interrupted: bool = False
    decided: int = 0
    """Number of decisions: products times epochs."""
    unpriced: int = 0
    """Number of decisions without a usable price."""

    @property
    def epochs(self) -> int:
        return len(self.earned)

    def share(self, first: int = 0, last: int | None = None) -> float:
        """Percentage of the highest possible expected profit from epoch `first` to `last`."""
        return 100.0 * float(self.earned[first:last].sum() / self.best[first:last].sum())


def run(
    strategy: PricingStrategy | None,
    market: SimulatedMarket,
    *,
    checkpoints: Sequence[int] = (),
    shown: int = 6,
    progress: Callable[[int], None] = lambda _: None,
) -> Track:
    """Simulate a strategy; None means fixed prices. Ctrl-C ends the simulation and returns its results so far.

    Raise `StrategyFailed` if the strategy fails.
    """
    observe = _observer(market)
    seen = observe()
    start_prices = seen.price[:shown].astype(np.float64)
    state = call_start(strategy, seen, {}) if strategy is not None else None
    total: Floats = np.zeros(len(seen))
    best_total = np.zeros(len(seen))
    earned, best, path, by_row = [], [], [], {}
    interrupted, decided, without = False, 0, 0
    try:
        for epoch in range(market.epochs):
            prices = seen.price
            if strategy is not None and state is not None:
                if epoch:
                    state = call_update(strategy, state, seen)
                    if epoch % POOL_EVERY == 0:
                        state = call_pool(strategy, state, seen)
                proposed = call_propose(strategy, state, seen, epoch)
                wanted, decided = proposed.prices, decided + len(seen)
                without += int(np.count_nonzero(is_unpriced(proposed.motive)))
                if market.rails is None:
                    prices = market.nearest_admissible(np.where(np.isnan(wanted), seen.price, wanted))
                else:
                    prices, _ = apply_guardrails(wanted, seen, market.rails, epoch_days=market.epoch_days)
            sold = market.sell(prices)
            seen = observe()
            total, best_total = total + sold.earned, best_total + sold.best
            earned.append(sold.earned.sum())
            best.append(sold.best.sum())
            path.append(prices[:shown])
            if epoch + 1 in checkpoints:
                by_row[epoch + 1] = 100.0 * total / best_total
            progress(epoch + 1)
    except KeyboardInterrupt:
        if not earned:
            raise
        interrupted = True
        by_row[len(earned)] = 100.0 * total / best_total
    name = strategy.name if strategy is not None else "static"
    return Track(
        name,
        np.array(earned),
        np.array(best),
        by_row,
        np.array(path, dtype=np.float64),
        start_prices,
        interrupted=interrupted,
        decided=decided,
        unpriced=without,
    )


def _observer(market: SimulatedMarket) -> Callable[[], Signals]:
    """Return a function that reads the market's signals, filtered as in production unless it has no guardrails."""
    rails = market.rails
    if rails is None:
        return market.signals
    baseline: Baseline | None = None

    def observe() -> Signals:
        nonlocal baseline
        counted = market.signals()
        before = Baseline.unknown(len(counted)) if baseline is None else baseline
        baseline, seen = filter_anomalies(before, counted, most_holds=rails.anomaly_epochs)
        return seen

    return observe
