"""Simulated marketplace: thousands of products in categories, weekly epochs, seasons, noise, and guardrails.

Variants differ in their sellers (`Seller`) and in what disturbs the signals (`frictions`).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from attrs import evolve, frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.guardrails import Guardrails
from scalecommerce_core.simulation.frictions import Friction, Week
from scalecommerce_core.simulation.ledger import Ledger, Listing, whole
from scalecommerce_core.simulation.market import OPENS, EpochProfit, SimulatedMarket, random_stream

DEMANDS: Final = ("log-linear", "semi-log", "logit")
_YEAR: Final = 52.0
LOWEST, HIGHEST = 0.5, 2.0
"""Sellers' price limits relative to the start price; they also limit the best price."""


@frozen
class Seller:
    """What sellers do before the first run."""

    least_cost: float = 0.45
    most_cost: float = 0.75
    """Bounds of the cost as a share of the start price."""
    competence: float | None = None
    """Largest relative distance of the start price from the best price of the first week; None: unrelated to it."""
    tells_cost: bool = True
    zipf: float | None = None
    """Exponent of the views by rank of the product (Zipf's law); None: lognormal views."""


USUAL: Final = Seller()
COMPETENT: Final = Seller(competence=0.05)
THIN_MARGINS: Final = Seller(least_cost=0.7, most_cost=0.9)


@frozen(eq=False)
class _World:
    """True parameters of each product. At the price `scale`, `conversion` and `elasticity` apply."""

    category: Whole
    scale: Whole
    start: Whole
    cost: Whole
    views: Floats
    conversion: Floats
    elasticity: Floats

    @classmethod
    def of(cls, products: int, categories: int, seed: int, seller: Seller) -> "_World":
        rng = random_stream(seed, 0)
        mean = rng.normal(-2.4, 0.6, categories)
        category = np.arange(products) % categories
        scale = whole(np.exp(rng.normal(np.log(30_00), 0.8, products)))
        cost = whole(scale * rng.uniform(seller.least_cost, seller.most_cost, products))
        views = 60.0 * np.exp(rng.normal(0, 1, products))
        if seller.zipf is not None:
            rank = random_stream(seed, 10).permutation(products) + 1.0
            views = views.sum() * rank**-seller.zipf / (np.arange(1.0, products + 1.0) ** -seller.zipf).sum()
        return cls(
            category=category,
            scale=scale,
            start=scale,
            cost=cost,
            views=views,
            conversion=np.minimum(0.025 * np.exp(rng.normal(0, 0.5, products)), 0.5),
            elasticity=np.clip(rng.normal(mean[category], 0.6), -6.0, -0.6),
        )


class Marketplace(SimulatedMarket):
    """Products of several categories; prices are relative to the willingness to pay, which may drift."""

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
        seller: Seller = USUAL,
        frictions: Sequence[Friction] = (),
    ) -> None:
        """`moody`: the weekly noise of a category affects the conversion rate instead of the number of views.

        The noise then cannot be observed and resembles an effect of prices.
        """
        self.epochs = epochs
        self.rails = rails or Guardrails()
        self._demand, self._drifting, self._seed = demand, drifting, seed
        self._moody, self._seller, self._frictions = moody, seller, frictions
        self._week = 0
        self._drift = random_stream(seed, 1).normal(0, 0.15, products) if drifting else np.zeros(products)
        self._world = _World.of(products, categories, seed, seller)
        if seller.competence is not None:
            near = 1.0 + random_stream(seed, 11).uniform(-seller.competence, seller.competence, products)
            self._world = evolve(self._world, start=whole(near * self._best_prices(self._worth())))

    def open(self) -> Ledger:
        world = self._world
        listing = Listing(
            price=world.start, category=world.category + 1, cost=world.cost if self._seller.tells_cost else -1,
            min_price=whole(world.start * LOWEST), max_price=whole(world.start * HIGHEST),
        )  # fmt: skip
        return Ledger(listing, OPENS)

    def sell(self, ledger: Ledger) -> EpochProfit:
        world, week = self._world, self._week
        rng = random_stream(self._seed, 2, week)
        products = len(ledger)
        season = 1.0 + 0.2 * np.sin(2 * np.pi * week / _YEAR)
        traffic = 7.0 * world.views * season
        # Noise of the week that all products of a category share.
        mood = np.exp(rng.normal(0, 0.15, int(world.category.max()) + 1) - 0.15**2 / 2)[world.category]
        visits = traffic if self._moody else traffic * mood
        visits = visits * np.exp(rng.normal(0, 0.25, products) - 0.25**2 / 2)
        step = rng.normal(0, 0.15 * np.sqrt(1 - 0.97**2), products)
        events = Week(number=week, seed=self._seed, category=world.category, visits=traffic)
        for friction in self._frictions:
            friction.begin(events, ledger)

        scale, conversion_factor = world.scale * self._worth(), events.conversion_factor
        prices, best = ledger.price, self._best_prices(self._worth())
        views = rng.poisson(visits)
        bought = np.minimum(self._conversion(prices / scale) * conversion_factor * (mood if self._moody else 1.0), 1.0)
        self._record(ledger, events, views, bought)
        count = traffic * events.in_stock * events.counts_profit * conversion_factor
        earned = count * self._conversion(prices / scale) * (prices - world.cost)
        ideal = count * self._conversion(best / scale) * (best - world.cost)
        for friction in self._frictions:
            friction.end(events, ledger)
        self._drift = 0.97 * self._drift + step if self._drifting else self._drift
        self._week += 1
        return EpochProfit(earned, ideal)

    def _record(self, ledger: Ledger, events: Week, views: Whole, bought: Floats) -> None:
        """Draw the orders of a week, and record them with the views."""
        rng = random_stream(self._seed, 3, self._week)
        served = views if (events.in_stock == 1.0).all() else events.random(3).binomial(views, events.in_stock)
        orders = rng.poisson(served * bought / events.mean_quantity)
        counted = served + whole(events.bot_views * events.in_stock)
        ledger.add_views(counted, during_outage=views + events.bot_views - counted)
        late = events.random(5).binomial(orders, events.late_share)
        for part, paid_at in ((orders - late, None), (late, events.ends + events.payment_delay)):
            if part.any():
                units = events.draw_units(part)
                ledger.add_orders(part, units, paid_at=paid_at)
                events.returns(ledger, units)

    def _worth(self) -> Floats:
        """Willingness to pay relative to the first week."""
        season = 0.08 * np.sin(2 * np.pi * (self._week / _YEAR + 0.2)) if self._drifting else 0.0
        worth: Floats = np.exp(self._drift + season)
        return worth

    def _conversion(self, relative: Floats) -> Floats:
        """Conversion rates at prices relative to `scale` times the willingness to pay."""
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
        scale, e = world.scale * worth, world.elasticity
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
