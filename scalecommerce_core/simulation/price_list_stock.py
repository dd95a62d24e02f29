"""Market of Ferreira, Simchi-Levi and Wang (2018): one product, four prices, and stock that is not replenished.

A customer arrives in each of T periods and buys with a probability that depends on the price. The stock is α·T units.
The expected revenue of any strategy is at most T times the optimum of the linear program with the true demand. Each row
is an independent world. Costs are 0 and prices are in cents.
"""

import math
from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Whole
from scalecommerce_core.pricing.price_list_inventory import best_mixture
from scalecommerce_core.simulation.ledger import Ledger, Listing, days
from scalecommerce_core.simulation.market import NO_LIMITS, OPENS, EpochProfit, SimulatedMarket, random_stream

LISTED: Final = (2990, 3490, 3990, 4490)
DEMANDS: Final = (0.8, 0.6, 0.3, 0.1)
SHARES: Final = (0.25, 0.5)
"""α: units in stock per period."""
_KEPT_DAYS: Final = 30


class PriceListStock(SimulatedMarket):
    epoch_days = 1.0
    rails = NO_LIMITS

    def __init__(self, *, seed: int, share: float, worlds: int = 500, epochs: int = 1_000) -> None:
        """`share` is α: the stock divided by the number of periods, `epochs`."""
        self.epochs = epochs
        self._arms = np.array(LISTED, dtype=np.int64)
        self._demands = np.array(DEMANDS)
        demand = self._demands[None, :]
        mixture = best_mixture(demand, demand * self._arms, np.array([share]))
        first, second = (float(self._demands[arm[0]] * self._arms[arm[0]]) for arm in mixture[:2])
        self._best = np.full(worlds, first + float(mixture.share[0]) * (second - first))
        self._stock = math.floor(share * epochs)
        self._chance = random_stream(seed, 9)

    def open(self) -> Ledger:
        worlds = len(self._best)
        listing = Listing(
            price=np.full(worlds, self._arms[-1]), category=np.arange(worlds) + 1, cost=0, stock=self._stock,
            stock_until=OPENS + days(self.epoch_days * self.epochs),
        )  # fmt: skip
        return Ledger(
            listing, OPENS, kept_days=_KEPT_DAYS, nearest_admissible=lambda prices: self._arms[self._arm(prices)]
        )

    def sell(self, ledger: Ledger) -> EpochProfit:
        prices, in_stock = ledger.price, ledger.stock > 0
        # All strategies get the same uniform numbers: a customer who buys at one price buys at each lower one.
        buys = (self._chance.random(len(prices)) < self._demands[self._arm(prices)]) & in_stock
        ledger.add_views(in_stock, during_outage=~in_stock)
        ledger.add_orders(buys, buys)
        ledger.stock = ledger.stock - buys
        ledger.out_of_stock += np.where(in_stock, 0, days(self.epoch_days))
        return EpochProfit(np.where(buys, prices, 0.0), self._best)

    def _arm(self, prices: Whole) -> Whole:
        nearest: Whole = np.abs(self._arms[None, :] - prices[:, None]).argmin(axis=1)
        return nearest
