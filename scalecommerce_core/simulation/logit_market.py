"""Logit demand, one product in each world, without guardrails: the probability of a purchase is 1 / (1 + e^-(a + b·p)).

At the start price, the probability is from U[0.05, 0.3], the elasticity from U[-4, -1.5] and the cost, as a share of
the price, from U[0.3, 0.6]. A period is a day with ten visitors on average.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.simulation.ledger import Ledger, Listing, days, whole
from scalecommerce_core.simulation.market import NO_LIMITS, OPENS, EpochProfit, SimulatedMarket, random_stream

LOWEST, HIGHEST = 0.5, 2.0
"""Price limits relative to the start price."""
VISITORS: Final = 10.0
_START: Final = 100_00
_HISTORY: Final = 30
"""Prices that the seller tried before, each for a week, within `_TRIED` of the start price."""
_TRIED: Final = 0.1
_KEPT_DAYS: Final = 30


class LogitMarket(SimulatedMarket):
    epoch_days = 1.0
    rails = NO_LIMITS

    def __init__(self, *, seed: int, worlds: int = 200, epochs: int = 10_000, with_history: bool = False) -> None:
        """`with_history`: the seller varied the price before the first run; else the products are new."""
        self.epochs = epochs
        rng = random_stream(seed, 13)
        at_start, elasticity = rng.uniform(0.05, 0.3, worlds), rng.uniform(-4.0, -1.5, worlds)
        self._slope = elasticity / (1.0 - at_start)
        self._intercept = np.log(at_start / (1.0 - at_start)) - self._slope
        self._cost = whole(_START * rng.uniform(0.3, 0.6, worlds))
        grid = np.linspace(LOWEST, HIGHEST, 1_501)[:, None] * _START
        self._best = self._profit(grid).max(axis=0)
        self._chance, self._with_history = random_stream(seed, 14), with_history
        self._tried = random_stream(seed, 15).uniform(1.0 - _TRIED, 1.0 + _TRIED, (_HISTORY, worlds))

    def open(self) -> Ledger:
        everything = np.arange(len(self._cost))
        listing = Listing(
            price=np.full(len(everything), _START), category=everything + 1, cost=self._cost,
            min_price=round(LOWEST * _START), max_price=round(HIGHEST * _START),
        )  # fmt: skip
        if not self._with_history:
            return Ledger(listing, OPENS, kept_days=_KEPT_DAYS)
        ledger = Ledger(listing, OPENS - days(7.0 * (_HISTORY + 1)), kept_days=_KEPT_DAYS)
        self._visit(ledger, 7.0)
        for week, tried in enumerate(self._tried):
            prices = whole(_START * tried) if week < _HISTORY - 1 else np.full(len(everything), _START)
            ledger.set_prices(everything, prices, OPENS - days(7.0 * (_HISTORY - week)), is_manual=True)
            self._visit(ledger, 7.0)
        return ledger

    def sell(self, ledger: Ledger) -> EpochProfit:
        prices = ledger.price
        self._visit(ledger, self.epoch_days)
        return EpochProfit(self._profit(prices), self._best)

    def _visit(self, ledger: Ledger, time: float) -> None:
        views = self._chance.poisson(VISITORS * time, len(ledger))
        units = self._chance.binomial(views, self._probability(ledger.price))
        ledger.add_views(views)
        ledger.add_orders(units, units)

    def _probability(self, prices: Floats | Whole) -> Floats:
        bought: Floats = 1.0 / (1.0 + np.exp(-(self._intercept + self._slope * (prices / _START))))
        return bought

    def _profit(self, prices: Floats | Whole) -> Floats:
        earned: Floats = VISITORS * self._probability(prices) * (prices - self._cost)
        return earned
