"""Market of Ferreira, Simchi-Levi and Wang (2018): one product, four prices, and stock that is not replenished.

A customer arrives in each of T periods and buys with a probability that depends on the price. The stock is α·T units.
The expected revenue of any strategy is at most T times the optimum of the linear program with the true demand. Each row
is an independent world. Costs are 0 and prices are in cents.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.price_list_inventory import best_mixture
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.simulation.market import EpochProfit, random_stream

LISTED: Final = (2990, 3490, 3990, 4490)
DEMANDS: Final = (0.8, 0.6, 0.3, 0.1)
SHARES: Final = (0.25, 0.5)
"""α: units in stock per period."""


class PriceListStock:
    epoch_days = 1.0
    rails: Guardrails | None = None

    def __init__(self, *, seed: int, share: float, worlds: int = 500, epochs: int = 1_000) -> None:
        """`share` is α: the stock divided by the number of periods, `epochs`."""
        self.epochs = epochs
        self._arms = np.array(LISTED, dtype=np.int64)
        self._demands = np.array(DEMANDS)
        demand = self._demands[None, :]
        mixture = best_mixture(demand, demand * self._arms, np.array([share]))
        first, second = (float(self._demands[arm[0]] * self._arms[arm[0]]) for arm in mixture[:2])
        self._best = np.full(worlds, first + float(mixture.share[0]) * (second - first))
        self._chance = random_stream(seed, 9)
        self._period = 0
        self._price = np.full(worlds, self._arms[-1])
        self._stock = np.full(worlds, np.floor(share * epochs))
        self._fixed = {
            "product": np.arange(worlds), "reference": self._price, "cost": np.zeros(worlds, dtype=int),
        }  # fmt: skip
        self._views, self._units = np.zeros(worlds), np.zeros(worlds)

    def signals(self) -> Signals:
        return Signals.of(
            **self._fixed,
            price=self._price,
            views=self._views,
            units=self._units,
            stock=self._stock,
            days=self.epoch_days * self._views,
            epoch_days=self.epoch_days,
            days_left=self.epoch_days * (self.epochs - self._period),
        )

    def nearest_admissible(self, prices: Floats) -> Whole:
        return self._arms[self._arm(prices)]

    def sell(self, prices: Whole) -> EpochProfit:
        in_stock = self._stock > 0
        # All strategies get the same uniform numbers: a customer who buys at one price buys at each lower one.
        buys = (self._chance.random(len(prices)) < self._demands[self._arm(prices)]) & in_stock
        self._price = prices
        self._views, self._units = in_stock.astype(np.float64), buys.astype(np.float64)
        self._stock = self._stock - self._units
        self._period += 1
        return EpochProfit(self._units * prices, self._best)

    def _arm(self, prices: Floats | Whole) -> Whole:
        nearest: Whole = np.abs(self._arms[None, :] - prices[:, None]).argmin(axis=1)
        return nearest
