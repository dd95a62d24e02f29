"""Marketplace of substitutes: demand also depends on the prices of the other products of the category.

The conversion rate of the marketplace is multiplied by exp(cross · m), with m the mean of price / start price - 1 of
the other products of the category. The best prices maximize the profit of all products together.
"""

from typing import Any, Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.simulation.marketplace import HIGHEST, LOWEST, Marketplace

_ITERATIONS: Final = 300
_DAMPING: Final = 0.3
_STEP: Final = 1e-5


class SubstitutesMarket(Marketplace):
    def __init__(self, *, cross: float = 0.4, **options: Any) -> None:
        """`cross` is the elasticity of demand over the mean price of the other products; `options`: `Marketplace`."""
        self._cross = cross
        self._best_of: tuple[Floats, Floats] | None = None
        super().__init__(**options)

    def _conversion(self, relative: Floats) -> Floats:
        cross: Floats = np.exp(self._cross * self._mean_of_others(relative - 1.0))
        return np.minimum(super()._conversion(relative) * cross, 1.0)

    def _best_prices(self, worth: Floats) -> Floats:
        if self._best_of is None or not np.array_equal(self._best_of[0], worth):
            self._best_of = worth, self._joint_optimum(worth)
        return self._best_of[1]

    def _joint_optimum(self, worth: Floats) -> Floats:
        """Prices that satisfy the first-order conditions of the joint profit, by damped iteration.

        p - cost = (1 + diverted profit per unit) / slope, with the slope of the log demand over the own price.
        """
        world = self._world
        scale = world.scale * worth
        cost, views = world.cost / scale, world.views * scale
        lowest, highest = LOWEST * world.start / scale, HIGHEST * world.start / scale
        price = np.clip(np.ones(len(scale)), lowest, highest)
        for _ in range(_ITERATIONS):
            own, more = super()._conversion(price), super()._conversion(price + _STEP)
            sales = views * self._conversion(price)
            diverted = self._cross * self._mean_of_others(sales * (price - cost))
            wanted = cost + (1.0 + diverted / sales) * _STEP / np.maximum(np.log(own / more), 1e-12)
            price = price + _DAMPING * (np.clip(wanted, lowest, highest) - price)
        return price * scale

    def _mean_of_others(self, values: Floats) -> Floats:
        """Mean of the values of the other products of the category; 0 for a single product."""
        category = self._world.category
        count = np.bincount(category)[category]
        others: Floats = (np.bincount(category, weights=values)[category] - values) / np.maximum(count - 1, 1)
        return others
