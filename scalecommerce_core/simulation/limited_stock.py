"""Seasonal goods: stock that is not replenished, sold within half a year; remaining units are worthless.

The expected profit of any strategy is bounded by the fluid problem, in which expected sales must not exceed the stock
(Gallego and van Ryzin 1994). Its price is the one at which the stock just lasts, or the unconstrained optimum if that
is higher. The bound for the first n weeks is that of a season of n weeks with the whole stock, so that it also holds
for strategies that sell out early.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.simulation.market import EpochProfit, random_stream

WEEKS: Final = 26
_DAYS: Final = 7.0
LOWEST, HIGHEST = 0.5, 2.0


class LimitedStock:
    """Demand is views · conversion · exp(elasticity · (price / start - 1)); scarcity differs between products."""

    epoch_days = _DAYS

    def __init__(
        self, *, seed: int, products: int = 2_000, epochs: int = WEEKS, rails: Guardrails | None = None
    ) -> None:
        self.epochs = epochs
        # Seasonal goods are new: a minimum history of two weeks would be a tenth of the season.
        self.rails: Guardrails | None = rails or Guardrails(least_history_days=0)
        rng = random_stream(seed, 7)
        self._seed, self._week = seed, 0
        self._start = np.rint(np.exp(rng.normal(np.log(30_00), 0.5, products))).astype(np.int64)
        self._group = np.arange(products) % 10
        self._elasticity = np.clip(rng.normal(rng.normal(-2.4, 0.4, 10)[self._group], 0.5), -6.0, -1.0)
        self._rate = 60.0 * np.exp(rng.normal(0, 0.5, products)) * 0.025 * np.exp(rng.normal(0, 0.3, products))
        self._views = self._rate / 0.025 * np.exp(rng.normal(0, 0.3, products))
        horizon = _DAYS * epochs
        # Between 0.3 and 1.2 times the expected sales at the start price, at least ten.
        self._stock = np.maximum(np.rint(self._rate * horizon * rng.uniform(0.3, 1.2, products)), 10.0)
        self._stock_before, self._bound = self._stock, np.zeros(products)
        self._prices = [self._start]
        self._since_change = np.full(products, np.inf)
        self._seen = self._units = np.zeros(products)
        self._days = np.full(products, 0.0)
        self._seen_ever = np.zeros(products)

    def signals(self) -> Signals:
        lately = np.stack(self._prices[-5:])
        return Signals.of(
            product=np.arange(len(self._start)), group=self._group, price=self._prices[-1], reference=self._start,
            cost=np.zeros_like(self._start), min_price=_share(self._start, LOWEST),
            max_price=_share(self._start, HIGHEST),
            median_90d=np.median(np.stack(self._prices[-13:]), axis=0).astype(np.int64), lowest_1d=self._prices[-1],
            highest_1d=self._prices[-1], lowest_30d=lately.min(axis=0), highest_30d=lately.max(axis=0),
            views=self._seen, units=self._units, days=self._days, views_ever=self._seen_ever,
            history_days=_DAYS * self._week, since_change=self._since_change, stock=self._stock,
            days_left=_DAYS * (self.epochs - self._week),
        )  # fmt: skip

    def nearest_admissible(self, prices: Floats) -> Whole:
        return np.clip(np.rint(prices).astype(np.int64), _share(self._start, LOWEST), _share(self._start, HIGHEST))

    def sell(self, prices: Whole) -> EpochProfit:
        rng = random_stream(self._seed, 8, self._week)
        expected = _DAYS * self._rate * np.exp(self._elasticity * (prices / self._start - 1.0))
        wanted = rng.poisson(expected).astype(np.float64)
        units = np.minimum(wanted, self._stock)
        # The product is out of stock for the share of demand that was not served; visits in this time are not counted.
        served = np.where(wanted > 0, units / np.maximum(wanted, 1.0), (self._stock > 0).astype(np.float64))
        self._seen = rng.poisson(_DAYS * self._views).astype(np.float64) * served
        self._units, self._days = units, _DAYS * served
        self._seen_ever = self._seen_ever + self._seen
        self._stock = self._stock - units
        self._since_change = np.where(prices != self._prices[-1], _DAYS, self._since_change + _DAYS)
        self._prices = [*self._prices[-13:], prices]
        self._week += 1
        before, self._bound = self._bound, self._fluid(self._stock_before, _DAYS * self._week)
        return EpochProfit(units * prices, self._bound - before)

    def _fluid(self, stock: Floats, days: float) -> Floats:
        """Revenue of the fluid problem, an upper bound of the expected revenue of any strategy."""
        unconstrained = -1.0 / self._elasticity
        clearing = 1.0 + np.log(stock / (self._rate * days)) / self._elasticity
        price = np.clip(np.maximum(unconstrained, clearing), LOWEST, HIGHEST)
        sales = np.minimum(self._rate * days * np.exp(self._elasticity * (price - 1.0)), stock)
        revenue: Floats = sales * price * self._start
        return revenue


def _share(start: Whole, share: float) -> Whole:
    rounded: Whole = np.rint(start * share).astype(np.int64)
    return rounded
