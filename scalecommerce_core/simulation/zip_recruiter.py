"""Market based on the price experiment of ZipRecruiter (Misra, Schwartz and Abernethy 2019; Dubé and Misra 2023).

Ten prices of a subscription, with the conversion rate at each; cost 0; 100,000 visitors, and the price may change
after every ten of them. Each row is an independent world.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.simulation.ledger import Ledger, Listing
from scalecommerce_core.simulation.market import NO_LIMITS, OPENS, EpochProfit, SimulatedMarket, random_stream

PRICES: Final = tuple(100 * price for price in (19, 39, 59, 79, 99, 159, 199, 249, 299, 399))
BUY_RATES: Final = (0.36, 0.32, 0.28, 0.28, 0.24, 0.20, 0.18, 0.17, 0.13, 0.10)
VISITORS: Final = 100_000
BLOCK: Final = 10
FIRST_VISITORS: Final = 7_870
"""Number of visitors in the published experiment."""
_START: Final = 9900
"""Price before the experiment."""
_KEPT_EPOCHS: Final = 30


class ZipRecruiter(SimulatedMarket):
    epoch_days = 0.01
    rails = NO_LIMITS

    def __init__(self, *, seed: int, worlds: int = 300, visitors: int = VISITORS) -> None:
        self.epochs = visitors // BLOCK
        self._arms = np.array(PRICES, dtype=np.int64)
        self._rates = np.array(BUY_RATES)
        self._best = np.full(worlds, BLOCK * float((self._arms * self._rates).max()))
        self._chance = random_stream(seed, 4)

    def open(self) -> Ledger:
        worlds = np.arange(len(self._best))
        listing = Listing(price=np.full(len(worlds), _START), category=worlds + 1, cost=0)
        kept = _KEPT_EPOCHS * self.epoch_days
        return Ledger(listing, OPENS, kept_days=kept, nearest_admissible=lambda prices: self._arms[self._arm(prices)])

    def sell(self, ledger: Ledger) -> EpochProfit:
        prices = ledger.price
        rate = self._rates[self._arm(prices)]
        # All strategies get the same uniform numbers: a visitor who buys at one price buys at each lower one.
        buys = self._chance.random((len(prices), BLOCK)) < rate[:, None]
        units = buys.sum(axis=1)
        ledger.add_views(np.full(len(prices), BLOCK))
        ledger.add_orders(units, units)
        return EpochProfit(BLOCK * prices * rate, self._best)

    def _arm(self, prices: Whole) -> Whole:
        nearest: Whole = np.abs(self._arms[None, :] - prices[:, None]).argmin(axis=1)
        return nearest
