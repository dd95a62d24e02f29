"""Marketplace with a buy box: each product has a competitor, and the dearer offer loses most of its sales.

The conversion rate is multiplied by a share that falls from 1 to `LEFT` where the price exceeds the competitor's.
Prices of competitors are those of independent sellers, who return to their usual price, or of followers, who undercut
by 1 % each week down to 5 % above their cost. The best prices maximize the profit of the week.
"""

from typing import Any, Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.simulation.ledger import Ledger, days, whole
from scalecommerce_core.simulation.market import OPENS, EpochProfit, random_stream
from scalecommerce_core.simulation.marketplace import HIGHEST, LOWEST, Marketplace

SHARPNESS: Final = 0.005
LEFT: Final = 0.35
"""Share of the sales that a product keeps while it is dearer than its competitor."""
_PERSISTENCE: Final = 0.8
_DEVIATION: Final = 0.08
_UNDERCUT: Final = 0.99
_LEAST_MARGIN: Final = 1.05
_TRIED: Final = np.linspace(LOWEST, HIGHEST, 151)


class BuyBoxMarket(Marketplace):
    def __init__(self, *, follows: bool, left: float = LEFT, **options: Any) -> None:
        """`follows`: competitors undercut; `left`: share of the sales above a competitor; `options`: `Marketplace`."""
        super().__init__(**options)
        self._follows, self._left = follows, left
        start = self._world.start
        rng = random_stream(self._seed, 20)
        self._usual: Floats = np.exp(rng.normal(0.0, 0.1, len(start))) * start
        self._least = self._world.cost * np.exp(rng.normal(0.0, 0.05, len(start))) * _LEAST_MARGIN
        self._gap = np.zeros(len(start))
        self._competitor = self._usual

    def open(self) -> Ledger:
        ledger = super().open()
        ledger.observe_competitor(whole(self._competitor), OPENS)
        return ledger

    def sell(self, ledger: Ledger) -> EpochProfit:
        week = self._week
        profit = super().sell(ledger)
        self._competitor = self._next_prices(ledger.price, week)
        ledger.observe_competitor(whole(self._competitor), OPENS + (week + 1) * days(7.0))
        return profit

    def _next_prices(self, ours: Whole, week: int) -> Floats:
        if self._follows:
            wanted = np.where(ours * _UNDERCUT < self._least, self._usual, np.minimum(ours * _UNDERCUT, self._usual))
            followed: Floats = np.maximum(wanted, self._least)
            return followed
        step = random_stream(self._seed, 21, week).normal(0.0, _DEVIATION, len(ours))
        self._gap = _PERSISTENCE * self._gap + np.sqrt(1.0 - _PERSISTENCE**2) * step
        independent: Floats = self._usual * np.exp(self._gap)
        return independent

    def _conversion(self, relative: Floats) -> Floats:
        return super()._conversion(relative) * self._share(relative * self._world.scale * self._worth())

    def _share(self, price: Floats) -> Floats:
        """Share of the sales that the product gets at this price."""
        z = np.clip((price / self._competitor - 1.0) / SHARPNESS, -30.0, 30.0)
        share: Floats = self._left + (1.0 - self._left) / (1.0 + np.exp(z))
        return share

    def _best_prices(self, worth: Floats) -> Floats:
        """The best of many prices, and of those just below the competitor's."""
        world = self._world
        scale = world.scale * worth
        lowest, highest = LOWEST * world.start, HIGHEST * world.start
        prices = [share * world.start for share in _TRIED]
        prices += [np.clip(share * self._competitor, lowest, highest) for share in (0.97, 0.98, 0.99)]
        profits = np.stack([self._conversion(price / scale) * (price - world.cost) for price in prices])
        best: Floats = np.stack(prices)[profits.argmax(axis=0), np.arange(len(scale))]
        return best
