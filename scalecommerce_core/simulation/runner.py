"""Runs one strategy in a simulated market and compares its profit with the highest possible expected profit.

Runs of `services.repricing` set the prices: signals, anomaly filter, guardrails and circuit breaker are production's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import numpy as np
from attrs import field, frozen

from scalecommerce_core.domain.identifiers import AccountId, PolicyId
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.facts import microseconds
from scalecommerce_core.pricing.interface import PricingStrategy, temporarily_registered
from scalecommerce_core.pricing.runs import Run, RunStatus
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.simulation.market import OPENING, EpochProfit, SimulatedMarket
from scalecommerce_core.simulation.store import MarketPolicy, MarketStore
from scalecommerce_core.testing.fakes import SettableClock

STATIC: Final = "static"
"""Name of fixed prices, the baseline of every strategy."""
_POLICY: Final = PolicyId(1)


class RunFailed(Exception):
    """A run of the policy failed; the message is its note."""

    def __init__(self, policy: str, note: str) -> None:
        super().__init__(note)
        self.policy = policy


class Shop:
    """A market, and the engine that sets its prices by a strategy; None means fixed prices."""

    def __init__(self, market: SimulatedMarket, strategy: PricingStrategy | None = None) -> None:
        self.market, self.ledger = market, market.open()
        self._strategy, self._clock = strategy, SettableClock(OPENING)
        self.store = MarketStore(self.ledger)
        self._repricing = Repricing(self.store, self._clock, min_epoch=timedelta(0))
        if strategy is not None:
            policy = MarketPolicy(
                id=_POLICY, seller_id=AccountId(1), name="Simulated", created_at=OPENING, policy=strategy.name,
                guardrails=market.rails, epoch=timedelta(days=market.epoch_days), stock_days=market.stock_days,
                chosen=strategy,
            )  # fmt: skip
            with self.store.begin() as tx:
                tx.policies.add([policy])

    def reprice(self) -> Run | None:
        """Run the policy. Raise `RunFailed`."""
        if self._strategy is None:
            return None
        run = self._repricing.run(_POLICY)
        if run.status is RunStatus.FAILED:
            raise RunFailed(self._strategy.name, run.note)
        return run

    def sell(self) -> EpochProfit:
        """Simulate an epoch at the present prices."""
        profit = self.market.sell(self.ledger)
        self.ledger.settle(microseconds(self._clock.advance(days=self.market.epoch_days)))
        return profit


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
    limited: int = 0
    """Number of runs whose changes the circuit breaker reduced."""

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

    Raise `RunFailed` if the strategy fails.
    """
    shop = Shop(market, strategy)
    total: Floats = np.zeros(len(shop.ledger))
    best_total = np.zeros(len(shop.ledger))
    earned, best, path, by_row = [], [], [], {}
    interrupted, decided, without, limited = False, 0, 0, 0
    try:
        with _registered(strategy):
            for epoch in range(market.epochs):
                if (ended := shop.reprice()) is not None:
                    decided, without = decided + ended.tally.decided, without + ended.tally.unpriced
                    limited += ended.is_limited
                path.append(shop.ledger.price[:shown])
                sold = shop.sell()
                total, best_total = total + sold.earned, best_total + sold.best
                earned.append(sold.earned.sum())
                best.append(sold.best.sum())
                if epoch + 1 in checkpoints:
                    by_row[epoch + 1] = 100.0 * total / best_total
                progress(epoch + 1)
    except KeyboardInterrupt:
        if not earned:
            raise
        interrupted = True
        by_row[len(earned)] = 100.0 * total / best_total
    return Track(
        strategy.name if strategy is not None else STATIC,
        np.array(earned),
        np.array(best),
        by_row,
        np.array(path[: len(earned)], dtype=np.float64),
        shop.ledger.start_price[:shown].astype(np.float64),
        interrupted=interrupted,
        decided=decided,
        unpriced=without,
        limited=limited,
    )


@contextmanager
def _registered(strategy: PricingStrategy | None) -> Iterator[None]:
    """Runs look their strategy up by name, also that of a strategy from the literature, which shops cannot choose."""
    with temporarily_registered(*(() if strategy is None else (type(strategy),))):
        yield
