"""Seasonal goods: stock that is not replenished, sold within half a year; remaining units are worthless.

The expected profit of any strategy is bounded by the fluid problem, in which expected sales must not exceed the stock
(Gallego and van Ryzin 1994). Its price is the one at which the stock just lasts, or the unconstrained optimum if that
is higher. The bound for the first n weeks is that of a season of n weeks with the whole stock, so that it also holds
for strategies that sell out early.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.simulation.ledger import Ledger, Listing, days, whole
from scalecommerce_core.simulation.market import OPENS, EpochProfit, SimulatedMarket, random_stream

WEEKS: Final = 26
_DAYS: Final = 7.0
LOWEST, HIGHEST = 0.5, 2.0


class LimitedStock(SimulatedMarket):
    """Demand is views · conversion · exp(elasticity · (price / start - 1)); scarcity differs between products.

    `shortest` season: seasons end after `shortest` to `epochs` weeks; after its season, a product has no visitors.
    """

    def __init__(self, *, seed: int, products: int = 2_000, epochs: int = WEEKS, shortest: int | None = None) -> None:
        self.epochs, self.stock_days = epochs, _DAYS * epochs
        # Seasonal goods are new: a minimum history of two weeks would be a tenth of the season.
        self.rails = Guardrails(least_history_days=0)
        rng = random_stream(seed, 7)
        self._seed, self._week = seed, 0
        self._start = whole(np.exp(rng.normal(np.log(30_00), 0.5, products)))
        self._group = np.arange(products) % 10
        self._elasticity = np.clip(rng.normal(rng.normal(-2.4, 0.4, 10)[self._group], 0.5), -6.0, -1.0)
        self._rate = 60.0 * np.exp(rng.normal(0, 0.5, products)) * 0.025 * np.exp(rng.normal(0, 0.3, products))
        self._views = self._rate / 0.025 * np.exp(rng.normal(0, 0.3, products))
        scarcity = rng.uniform(0.3, 1.2, products)
        self._season = random_stream(seed, 12).integers(shortest or epochs, epochs + 1, products)
        # Between 0.3 and 1.2 times the expected sales at the start price, at least ten.
        self._stock = np.maximum(np.rint(self._rate * _DAYS * self._season * scarcity), 10.0)
        self._bound = np.zeros(products)

    def open(self) -> Ledger:
        listing = Listing(
            price=self._start, category=self._group + 1, cost=0, min_price=whole(self._start * LOWEST),
            max_price=whole(self._start * HIGHEST), stock=whole(self._stock),
            stock_until=OPENS + self._season * days(_DAYS),
        )  # fmt: skip
        return Ledger(listing, OPENS)

    def sell(self, ledger: Ledger) -> EpochProfit:
        rng = random_stream(self._seed, 8, self._week)
        open_days, stock, prices = np.where(self._week < self._season, _DAYS, 0.0), ledger.stock, ledger.price
        wanted = rng.poisson(open_days * self._rate * np.exp(self._elasticity * (prices / self._start - 1.0)))
        units = np.minimum(wanted, stock)
        # The product is out of stock for the share of demand that was not served.
        served = np.where(wanted > 0, units / np.maximum(wanted, 1), (stock > 0).astype(np.float64))
        views = rng.poisson(open_days * self._views)
        counted = whole(views * served)
        ledger.add_views(counted, during_outage=views - counted)
        ledger.add_orders(units, units)
        ledger.stock = stock - units
        ledger.out_of_stock += whole((1.0 - served) * days(_DAYS))
        self._week += 1
        before, self._bound = self._bound, self._fluid(_DAYS * np.minimum(self._week, self._season))
        return EpochProfit(units * prices, self._bound - before)

    def _fluid(self, time: Floats) -> Floats:
        """Revenue of the fluid problem in some days, an upper bound of the expected revenue of any strategy."""
        unconstrained = -1.0 / self._elasticity
        clearing = 1.0 + np.log(self._stock / (self._rate * time)) / self._elasticity
        price = np.clip(np.maximum(unconstrained, clearing), LOWEST, HIGHEST)
        sales = np.minimum(self._rate * time * np.exp(self._elasticity * (price - 1.0)), self._stock)
        revenue: Floats = sales * price * self._start
        return revenue
