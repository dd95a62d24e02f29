"""Simulated marketplace: thousands of products in categories, weekly epochs, seasons, noise, and guardrails."""

from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.simulation.market import EpochProfit, random_stream

DEMANDS: Final = ("log-linear", "semi-log", "logit")
_YEAR: Final = 52.0
_MEDIAN_WEEKS: Final = 13
_MONTH_WEEKS: Final = 5
"""Number of weekly prices in force during the last 30 days."""
LOWEST, HIGHEST = 0.5, 2.0
"""Sellers' price limits relative to the start price; they also limit the best price."""


@frozen(eq=False)
class _World:
    """True parameters of each product."""

    category: Whole
    start: Whole
    cost: Whole
    views: Floats
    conversion: Floats
    elasticity: Floats

    @classmethod
    def of(cls, products: int, categories: int, seed: int) -> "_World":
        rng = random_stream(seed, 0)
        mean = rng.normal(-2.4, 0.6, categories)
        category = np.arange(products) % categories
        start = np.rint(np.exp(rng.normal(np.log(30_00), 0.8, products))).astype(np.int64)
        return cls(
            category=category,
            start=start,
            cost=np.rint(start * rng.uniform(0.45, 0.75, products)).astype(np.int64),
            views=60.0 * np.exp(rng.normal(0, 1, products)),
            conversion=np.minimum(0.025 * np.exp(rng.normal(0, 0.5, products)), 0.5),
            elasticity=np.clip(rng.normal(mean[category], 0.6), -6.0, -0.6),
        )


class Marketplace:
    def __init__(
        self,
        *,
        demand: str,
        drifting: bool,
        seed: int,
        products: int = 6_000,
        categories: int = 10,
        epochs: int = 104,
        rails: Guardrails | None = None,
        moody: bool = False,
    ) -> None:
        """`moody`: the weekly noise of a category affects the conversion rate instead of the number of views.

        The noise then cannot be observed and resembles an effect of prices.
        """
        self.epochs, self.epoch_days = epochs, 7.0
        self.rails: Guardrails | None = rails or Guardrails()
        self._demand, self._drifting, self._seed = demand, drifting, seed
        self._world = world = _World.of(products, categories, seed)
        self._moody = moody
        self._week = 0
        self._prices = [world.start]
        self._since_change = np.full(products, np.inf)
        self._views_ever = np.zeros(products)
        self._views = self._units = np.zeros(products)
        self._drift = random_stream(seed, 1).normal(0, 0.15, products) if drifting else np.zeros(products)

    def signals(self) -> Signals:
        world, prices = self._world, self._prices
        lately = np.stack(prices[-_MONTH_WEEKS:])
        return Signals.of(
            product=np.arange(len(world.start)), group=world.category, price=prices[-1], reference=world.start,
            cost=world.cost, min_price=_share(world.start, LOWEST), max_price=_share(world.start, HIGHEST),
            median_90d=np.median(np.stack(prices[-_MEDIAN_WEEKS:]), axis=0).astype(np.int64), lowest_1d=prices[-1],
            highest_1d=prices[-1], lowest_30d=lately.min(axis=0), highest_30d=lately.max(axis=0), views=self._views,
            units=self._units, days=7.0 if self._week else 0.0, views_ever=self._views_ever,
            history_days=7.0 * self._week, since_change=self._since_change,
        )  # fmt: skip

    def nearest_admissible(self, prices: Floats) -> Whole:
        start = self._world.start
        return np.clip(np.rint(prices).astype(np.int64), _share(start, LOWEST), _share(start, HIGHEST))

    def sell(self, prices: Whole) -> EpochProfit:
        world, week = self._world, self._week
        around = random_stream(self._seed, 2, week)
        products = len(prices)
        season = 1.0 + 0.2 * np.sin(2 * np.pi * week / _YEAR)
        traffic = 7.0 * world.views * season
        # Noise of the week that all products of a category share.
        mood = np.exp(around.normal(0, 0.15, int(world.category.max()) + 1) - 0.15**2 / 2)[world.category]
        visits = traffic if self._moody else traffic * mood
        views = around.poisson(visits * np.exp(around.normal(0, 0.25, products) - 0.25**2 / 2)).astype(np.float64)
        step = around.normal(0, 0.15 * np.sqrt(1 - 0.97**2), products)
        worth = self._worth()
        bought = self._conversion(prices / (world.start * worth))
        bought = np.minimum(bought * mood, 1.0) if self._moody else bought
        units = random_stream(self._seed, 3, week).poisson(views * bought).astype(np.float64)
        best = self._best_prices(worth)
        earned = traffic * self._conversion(prices / (world.start * worth)) * (prices - world.cost)
        ideal = traffic * self._conversion(best / (world.start * worth)) * (best - world.cost)

        moved = prices != self._prices[-1]
        self._since_change = np.where(moved, 7.0, self._since_change + 7.0)
        self._prices = [*self._prices[-_MEDIAN_WEEKS:], prices]
        self._views, self._units, self._views_ever = views, units, self._views_ever + views
        self._drift = 0.97 * self._drift + step if self._drifting else self._drift
        self._week += 1
        return EpochProfit(earned, ideal)

    def _worth(self) -> Floats:
        """Willingness to pay relative to the first week."""
        season = 0.08 * np.sin(2 * np.pi * (self._week / _YEAR + 0.2)) if self._drifting else 0.0
        worth: Floats = np.exp(self._drift + season)
        return worth

    def _conversion(self, relative: Floats) -> Floats:
        """Conversion rates at prices relative to the start price times the willingness to pay."""
        world = self._world
        match self._demand:
            case "log-linear":
                bought: Floats = world.conversion * relative**world.elasticity
            case "semi-log":
                bought = world.conversion * np.exp(world.elasticity * (relative - 1.0))
            case _:
                odds = world.conversion / (1.0 - world.conversion)
                steep = world.elasticity / (1.0 - world.conversion)
                bought = 1.0 - 1.0 / (1.0 + odds * np.exp(steep * (relative - 1.0)))
        return np.minimum(bought, 1.0)

    def _best_prices(self, worth: Floats) -> Floats:
        world = self._world
        scale, e = world.start * worth, world.elasticity
        match self._demand:
            case "log-linear":
                best = np.where(e < -1.0, world.cost * e / np.minimum(1.0 + e, -1e-9), np.inf)
            case "semi-log":
                best = world.cost - scale / e
            case _:
                best = scale
                for _ in range(30):
                    unsold = 1.0 - self._conversion(best / scale)
                    best = 0.5 * (best + world.cost - scale * (1.0 - world.conversion) / (e * unsold))
        return np.clip(best, LOWEST * world.start, HIGHEST * world.start)


def _share(start: Whole, share: float) -> Whole:
    rounded: Whole = np.rint(start * share).astype(np.int64)
    return rounded
