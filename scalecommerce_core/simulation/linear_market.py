"""Linear demand with Gaussian noise, as in Keskin and Zeevi (2014) and den Boer and Zwart (2014).

Units = α + β·price + noise, with α from U[0.8, 1.4], β from U[-0.8, -0.35], a standard deviation of 0.2, and prices in
[0.5, 2]. Each row is an independent world. Prices are in ten-thousandths, so that rounding has no effect.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.simulation.market import EpochProfit, random_stream

UNIT: Final = 10_000
LOWEST, HIGHEST = 0.5, 2.0
NOISE: Final = 0.2


class LinearMarket:
    epoch_days = 1.0
    rails: Guardrails | None = None

    def __init__(self, *, seed: int, worlds: int = 1_000, epochs: int = 10_000) -> None:
        self.epochs = epochs
        rng = random_stream(seed, 5)
        self._alpha = rng.uniform(0.8, 1.4, worlds)
        self._beta = rng.uniform(-0.8, -0.35, worlds)
        best = np.clip(-self._alpha / (2 * self._beta), LOWEST, HIGHEST)
        self._best = best * (self._alpha + self._beta * best)
        self._chance = random_stream(seed, 6)
        self._price = np.full(worlds, UNIT, dtype=np.int64)
        self._fixed = {
            "product": np.arange(worlds), "reference": np.full(worlds, UNIT), "cost": np.zeros(worlds, dtype=int),
        }  # fmt: skip
        self._units, self._views = np.zeros(worlds), np.zeros(worlds)

    def signals(self) -> Signals:
        return Signals.of(
            **self._fixed,
            price=self._price,
            views=self._views,
            units=self._units,
            days=self.epoch_days,
            epoch_days=self.epoch_days,
        )

    def nearest_admissible(self, prices: Floats) -> Whole:
        return np.rint(np.clip(prices, LOWEST * UNIT, HIGHEST * UNIT)).astype(np.int64)

    def sell(self, prices: Whole) -> EpochProfit:
        p = prices / UNIT
        demand = self._alpha + self._beta * p
        self._price = prices
        self._units = demand + NOISE * self._chance.standard_normal(len(p))
        self._views = np.ones(len(p))
        return EpochProfit(p * demand, self._best)
