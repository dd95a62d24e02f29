"""Linear demand with Gaussian noise, as in Keskin and Zeevi (2014) and den Boer and Zwart (2014).

Units = α + β·price + noise, with α from U[0.8, 1.4], β from U[-0.8, -0.35], a standard deviation of 0.2, and prices in
[0.5, 2]. Each row is an independent world. Prices are in ten-thousandths, so that rounding has no effect.
"""

from typing import Final

import numpy as np

from scalecommerce_core.simulation.ledger import Ledger, Listing
from scalecommerce_core.simulation.market import NO_LIMITS, OPENS, EpochProfit, SimulatedMarket, random_stream

UNIT: Final = 10_000
LOWEST, HIGHEST = 0.5, 2.0
NOISE: Final = 0.2
_KEPT_DAYS: Final = 30


class LinearMarket(SimulatedMarket):
    epoch_days = 1.0
    rails = NO_LIMITS

    def __init__(self, *, seed: int, worlds: int = 1_000, epochs: int = 10_000) -> None:
        self.epochs = epochs
        rng = random_stream(seed, 5)
        self._alpha = rng.uniform(0.8, 1.4, worlds)
        self._beta = rng.uniform(-0.8, -0.35, worlds)
        best = np.clip(-self._alpha / (2 * self._beta), LOWEST, HIGHEST)
        self._best = best * (self._alpha + self._beta * best)
        self._chance = random_stream(seed, 6)

    def open(self) -> Ledger:
        listing = Listing(
            price=np.full(len(self._alpha), UNIT), category=np.arange(len(self._alpha)) + 1, cost=0,
            min_price=round(LOWEST * UNIT), max_price=round(HIGHEST * UNIT),
        )  # fmt: skip
        return Ledger(listing, OPENS, kept_days=_KEPT_DAYS, counts=np.float64)

    def sell(self, ledger: Ledger) -> EpochProfit:
        p = ledger.price / UNIT
        demand = self._alpha + self._beta * p
        units = demand + NOISE * self._chance.standard_normal(len(p))
        ledger.add_views(np.ones(len(p)))
        ledger.add_orders(np.ones(len(p)), units)
        return EpochProfit(p * demand, self._best)
