"""Market based on the price experiment of ZipRecruiter (Misra, Schwartz and Abernethy 2019; Dubé and Misra 2023).

Ten prices of a subscription, with the conversion rate at each; cost 0; 100,000 visitors, and the price may change
after every ten of them. Each row is an independent world.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.simulation.market import EpochProfit, random_stream

PRICES: Final = tuple(100 * price for price in (19, 39, 59, 79, 99, 159, 199, 249, 299, 399))
BUY_RATES: Final = (0.36, 0.32, 0.28, 0.28, 0.24, 0.20, 0.18, 0.17, 0.13, 0.10)
VISITORS: Final = 100_000
BLOCK: Final = 10
FIRST_VISITORS: Final = 7_870
"""Number of visitors in the published experiment."""
_START: Final = 9900
"""Price before the experiment."""


class ZipRecruiter:
    epoch_days = 0.01
    rails: Guardrails | None = None

    def __init__(self, *, seed: int, worlds: int = 300, visitors: int = VISITORS) -> None:
        self.epochs = visitors // BLOCK
        self._arms = np.array(PRICES, dtype=np.int64)
        self._rates = np.array(BUY_RATES)
        self._best = np.full(worlds, BLOCK * float((self._arms * self._rates).max()))
        self._chance = random_stream(seed, 4)
        self._price = np.full(worlds, _START, dtype=np.int64)
        self._fixed = {
            "product": np.arange(worlds), "reference": np.full(worlds, _START), "cost": np.zeros(worlds, dtype=int),
        }  # fmt: skip
        self._views, self._units = np.zeros(worlds), np.zeros(worlds)

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
        return self._arms[self._arm(prices)]

    def sell(self, prices: Whole) -> EpochProfit:
        rate = self._rates[self._arm(prices)]
        # All strategies get the same uniform numbers: a visitor who buys at one price buys at each lower one.
        buys = self._chance.random((len(prices), BLOCK)) < rate[:, None]
        self._price = prices
        self._units = buys.sum(axis=1).astype(np.float64)
        self._views = np.full(len(prices), float(BLOCK))
        return EpochProfit(BLOCK * prices * rate, self._best)

    def _arm(self, prices: Floats | Whole) -> Whole:
        nearest: Whole = np.abs(self._arms[None, :] - prices[:, None]).argmin(axis=1)
        return nearest
