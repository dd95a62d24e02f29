"""Simulated experiments: weekly profits of products in two arms, with a known lift.

They measure how often the interval of an experiment contains the true lift, how wide it is, and how often experiments
without a lift raise a false alarm.
"""

from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.experiments.assignment import hold_out_products, own_price_periods
from scalecommerce_core.pricing.experiments.lift import (
    HoldOutProfits,
    LiftEstimate,
    estimate_hold_out,
    estimate_switchback,
)
from scalecommerce_core.simulation.market import random_stream

RECENT: Final = 8
"""Weeks of the newer window before the start."""


@frozen
class ShopModel:
    """A shop of products with weekly sales. Views are lognormal, or fall with the rank of the product (Zipf 1949).

    Standard deviations are of logarithms: `week_noise` of each category and week, `view_noise` of each product and
    week, `drift` the weekly step of a product's random walk, `category_drift` that of a category.
    """

    products: int = 2_000
    categories: int = 10
    weeks_before: int = 26
    weeks: int = 26
    share: float = 0.2
    zipf: bool = False
    lift: float = 0.04
    lift_spread: float = 0.05
    """Standard deviation of the products' own lifts."""
    week_noise: float = 0.15
    view_noise: float = 0.25
    drift: float = 0.01
    category_drift: float = 0.03
    median_views: float = 420.0
    """Views of a product in a week."""


@frozen(eq=False)
class SimulatedHoldOut:
    """A hold-out with a known lift: profits before and since its start, products by weeks."""

    category: Whole
    is_held_out: Flags
    before: Floats
    during: Floats
    lift: Floats
    """The true lift of the total profit up to each week."""

    def estimate(self, weeks: int) -> LiftEstimate | None:
        """The estimate after `weeks` weeks."""
        during = self.during[:, :weeks].sum(axis=1)
        return estimate_hold_out(
            HoldOutProfits(self.category, self.is_held_out, mean_weekly_profits(self.before), during)
        )


def mean_weekly_profits(before: Floats) -> Floats:
    """`HoldOutProfits.before` of weekly profits before the start: means of the last `RECENT` weeks, and of the rest."""
    return np.column_stack([before[:, -RECENT:].mean(axis=1), before[:, :-RECENT].mean(axis=1)])


def simulate_hold_out(model: ShopModel, *seed: int) -> SimulatedHoldOut:
    """Simulate one hold-out; equal seeds give equal numbers."""
    rng = random_stream(*seed)
    level, category, margin, own_lift = _products(model, rng)
    total = model.weeks_before + model.weeks
    mean = level[:, None] * np.exp(_shocks(model, category, total, rng))
    units_before = rng.poisson(mean[:, : model.weeks_before])
    revenue = units_before.sum(axis=1) * 1.0
    held = hold_out_products(
        np.arange(model.products), category, revenue, share=model.share, seed=int(rng.integers(2**31))
    )
    at_own = mean[:, model.weeks_before :]
    at_policy = at_own * (1.0 + own_lift)[:, None]
    units = rng.poisson(np.where(held[:, None], at_own, at_policy))
    own, policy = (np.cumsum((margin[:, None] * values).sum(axis=0)) for values in (at_own, at_policy))
    return SimulatedHoldOut(category, held, margin[:, None] * units_before, margin[:, None] * units, policy / own - 1.0)


def _products(model: ShopModel, rng: np.random.Generator) -> tuple[Floats, Whole, Floats, Floats]:
    """Mean units per week at own prices, category, profit per unit (minor units) and lift of each product."""
    size = model.products
    views = model.median_views * np.exp(rng.normal(0.0, 1.0, size))
    if model.zipf:
        views = views.sum() / np.arange(1, size + 1) / np.sum(1.0 / np.arange(1, size + 1))
    conversion = 0.025 * np.exp(rng.normal(0.0, 0.5, size))
    margin = np.exp(rng.normal(8.0, 0.8, size)) * rng.uniform(0.25, 0.55, size)
    lift = (
        model.lift + model.lift_spread * rng.normal(0.0, 1.0, size) if model.lift_spread else np.full(size, model.lift)
    )
    return views * conversion, rng.integers(0, model.categories, size), margin, np.maximum(lift, -0.9)


def _shocks(model: ShopModel, category: Whole, weeks: int, rng: np.random.Generator) -> Floats:
    """Deviations of the logarithm of each product's mean units in each week."""
    shape = model.categories, weeks
    common = rng.normal(0.0, model.week_noise, shape)
    common += np.cumsum(rng.normal(0.0, model.category_drift, shape), axis=1)
    single = rng.normal(0.0, model.view_noise, (model.products, weeks))
    single += np.cumsum(rng.normal(0.0, model.drift, (model.products, weeks)), axis=1)
    return common[category] + single


@frozen(eq=False)
class SimulatedSwitchback:
    """Profits of successive periods; `own` marks those at the seller's own prices."""

    profits: Floats
    own: Flags
    lift: float
    """The true lift of the total profit."""

    def estimate(self, periods: int) -> LiftEstimate | None:
        """The estimate after `periods` periods."""
        return estimate_switchback(self.profits[:periods], self.own[:periods])


def simulate_switchback(model: ShopModel, *seed: int, period: int = 2) -> SimulatedSwitchback:
    """Simulate a switchback with periods of `period` measured weeks; equal seeds give equal numbers."""
    rng = random_stream(*seed)
    level, category, margin, own_lift = _products(model, rng)
    mean = margin[:, None] * level[:, None] * np.exp(_shocks(model, category, model.weeks, rng))
    count = model.weeks // period
    own = own_price_periods(count, seed=int(rng.integers(2**31)))
    at_own = mean[:, : count * period].reshape(model.products, count, period).sum(axis=2)
    at_policy = at_own * (1.0 + own_lift)[:, None]
    expected = np.where(own, at_own, at_policy)
    profits = margin[:, None] * rng.poisson(expected / margin[:, None])
    return SimulatedSwitchback(profits.sum(axis=0), own, float(at_policy.sum() / at_own.sum() - 1.0))
