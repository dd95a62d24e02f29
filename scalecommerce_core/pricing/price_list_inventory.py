"""A list of prices for goods with limited stock: Thompson sampling of the demand at each price, and a linear program.

Ferreira, Simchi-Levi and Wang (2018), "Online network revenue management using Thompson sampling", for one product with
one resource, its stock. Each epoch draws the demand at each price from its estimate, solves

    maximize Σ q·d·m   subject to   Σ q·d ≤ stock per expected view,   Σ q = 1,   q ≥ 0

for the shares q of time at each price (d: units per view, m: margin per unit), and draws a price with probabilities q.
The remaining stock and time are used, as in the paper's algorithm "TS-update".
"""

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.costs import break_even
from scalecommerce_core.pricing.interface import (
    EIGHTY_PERCENT,
    DemandEstimate,
    Motive,
    Proposal,
    State,
    parameter,
    register,
    select_motives,
)
from scalecommerce_core.pricing.price_grid import MOST_PRICES, listed_prices
from scalecommerce_core.pricing.shrinkage import ROOT_MEAN
from scalecommerce_core.pricing.signals import Signals

_LEVEL_MEAN: Final = -2.0
_LEVEL_VARIANCE: Final = 5.0
"""Prior of the log odds of a purchase at the mean of the prices: from 0.1 % to 90 % within two deviations."""
_ITERATIONS: Final = 8
"""Steps of Newton's method, which are limited to `_LARGEST_STEP` in the log odds and in the slope."""
_LARGEST_STEP: Final = (2.0, 6.0)
_FLATTEST: Final = -0.5
_LEAST_DEMAND: Final = 1e-9
_USE_PRICES: Final = 2
"""Random numbers 0 and 1 are those of the curve; those of the prices follow."""
_USE_MIXTURE: Final = _USE_PRICES + MOST_PRICES


@register
@frozen
class PriceListInventory:
    """Chooses from a list of prices so that the stock lasts: Thompson sampling with a linear program.

    The estimate of each price's units per view has the weight of `curve_units` sales of a logistic demand curve, which
    is fitted to the sales at all prices.
    """

    name: ClassVar[str] = "price_list_inventory"
    columns: ClassVar[Mapping[str, int]] = {
        "arm_views": MOST_PRICES, "arm_units": MOST_PRICES, "views_a_day": 1, "averaged_days": 1,
    }  # fmt: skip
    prices: tuple[int, ...] = parameter(
        (),
        at_least=1,
        at_most=9_999_999_999,
        longest=MOST_PRICES,
        says="Prices in minor units; an empty list: 70 % to 130 % of the reference price.",
    )
    curve_units: float = parameter(
        10.0, at_least=0.1, at_most=10**6, says="Weight of the demand curve at each price, in units sold."
    )
    slope_mean: float = parameter(
        -4.0, at_least=-20, at_most=0, says="Mean of the log odds' slope over the relative price, before any sale."
    )
    slope_spread: float = parameter(12.0, at_least=0.01, at_most=100, says="Variance of that slope, before any sale.")
    caution: float = parameter(0.3, at_least=0, at_most=3, says="Standard deviations by which sampled demands vary.")
    half_life_weeks: float = parameter(
        520.0, at_least=0.1, at_most=10**4, says="Weeks after which a view or sale counts half."
    )
    perishable: bool = parameter(False, says="Unsold units are worthless at the end, so their cost is ignored.")
    memory_days: float = parameter(
        28.0, at_least=1, at_most=365, says="Averaging period of the views per day, in days."
    )
    seed: int = parameter(0, at_least=0, at_most=2**63 - 1, says="Seed of the random draws.")

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        del groups
        n = len(signals)
        return State({
            "arm_views": np.zeros((n, MOST_PRICES)), "arm_units": np.zeros((n, MOST_PRICES)),
            "views_a_day": np.zeros(n), "averaged_days": np.zeros(n),
        })  # fmt: skip

    def update(self, state: State, signals: Signals) -> State:
        was = state.products
        # A price that a guardrail has changed counts for the nearest price of the list.
        arm = np.abs(listed_prices(self.prices, signals) - signals.price[:, None]).argmin(axis=1)
        hit = np.zeros_like(was["arm_views"])
        hit[np.arange(len(arm)), arm] = 1.0
        fade = (0.5 ** (signals.epoch_days / 7.0 / self.half_life_weeks))[:, None]
        # A mean over the first `memory_days`, then an exponential average.
        averaged = np.minimum(was["averaged_days"], self.memory_days) + signals.days
        daily = was["views_a_day"]
        daily = daily + (signals.views - daily * signals.days) / np.maximum(averaged, 1e-9)
        units = was["arm_units"] * fade + hit * (signals.weight * signals.units)[:, None]
        return State({
            "arm_views": was["arm_views"] * fade + hit * (signals.weight * signals.views)[:, None],
            # Refunds may exceed the sales of an epoch.
            "arm_units": np.maximum(units, 0.0),
            "views_a_day": daily, "averaged_days": averaged,
        })  # fmt: skip

    def pool(self, state: State, signals: Signals) -> State:
        """Return `state`: products with much traffic need no estimate of their category."""
        del signals
        return state

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        prices = listed_prices(self.prices, signals)
        cost = 0.0 if self.perishable else break_even(signals, ROOT_MEAN)[:, None]
        # Without views or an end, the stock is no limit.
        views = state.products["views_a_day"] * np.where(np.isfinite(signals.days_left), signals.days_left, 0.0)
        rate = np.where(views > 0, signals.stock / np.where(views > 0, views, 1.0), np.inf)
        demand = self._draw_demand(state, signals, prices, epoch)
        mixture = best_mixture(demand, demand * (prices - cost), rate)
        draw = seeded_random.uniform(signals.product, epoch, seed=self.seed, use=_USE_MIXTURE)
        arm = np.where(draw < mixture.share, mixture.second, mixture.first)
        # Demand at each price exceeds the stock: the stock sells out at the highest price.
        arm = np.where(mixture.is_short, prices.argmax(axis=1), arm)
        motive = select_motives(Motive.LEARNED, (mixture.is_limited | mixture.is_short, Motive.STOCK_SHORT))
        return Proposal(prices[np.arange(len(arm)), arm], motive)

    def estimate_demand(self, state: State, signals: Signals, prices: Floats) -> DemandEstimate | None:
        del prices
        listed = listed_prices(self.prices, signals)
        curve, x = self._fit(state, listed)
        bought = _logistic(curve.a[:, None] + curve.b[:, None] * x)
        rate, deviation = (values[0] for values in self._rates(state, bought))
        width = EIGHTY_PERCENT * deviation
        return DemandEstimate(listed[0], rate, np.maximum(rate - width, 0.0), rate + width)

    def _fit(self, state: State, prices: Floats) -> tuple["Curve", Floats]:
        """The demand curve of each product, and the distances of its prices from their mean."""
        k = prices.shape[1]
        views, units = (state.products[name][:, :k] for name in ("arm_views", "arm_units"))
        x = prices / prices.mean(axis=1, keepdims=True) - 1.0
        prior = (_LEVEL_MEAN, self.slope_mean), (_LEVEL_VARIANCE, self.slope_spread)
        return fit_logistic(x, np.maximum(views, units), units, *prior), x

    def _rates(self, state: State, bought: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the units per view at each price, where the curve says `bought`."""
        k = bought.shape[1]
        views, units = (state.products[name][:, :k] for name in ("arm_views", "arm_units"))
        # The curve's weight, in views: `curve_units` divided by the variance of a purchase.
        weight = self.curve_units / (bought * (1.0 - bought))
        rate = (weight * bought + units) / (weight + views)
        return rate, np.sqrt(rate * np.maximum(1.0 - rate, 0.05) / (weight + views))

    def _draw_demand(self, state: State, signals: Signals, prices: Floats, epoch: int) -> Floats:
        """Units per view at each price, drawn from the estimate: a curve, and each price's deviation from it."""
        k = prices.shape[1]
        curve, x = self._fit(state, prices)
        z = [
            self.caution * seeded_random.normal(signals.product, epoch, seed=self.seed, use=use)
            for use in range(_USE_PRICES + k)
        ]
        root = np.sqrt(curve.c00)
        level = curve.a + root * z[0]
        rest = np.sqrt(np.maximum(curve.c11 - curve.c01 * curve.c01 / curve.c00, 0.0))
        slope = np.minimum(curve.b + curve.c01 / root * z[0] + rest * z[1], _FLATTEST)
        bought = _logistic(level[:, None] + slope[:, None] * x)
        rate, deviation = self._rates(state, bought)
        drawn: Floats = np.maximum(rate + deviation * np.stack(z[_USE_PRICES:], axis=1), _LEAST_DEMAND)
        return drawn


class Curve(NamedTuple):
    """Logistic demand curve with log odds a + b·x: the estimate, and its covariance matrix."""

    a: Floats
    b: Floats
    c00: Floats
    c01: Floats
    c11: Floats


def fit_logistic(
    x: Floats, trials: Floats, successes: Floats, mean: tuple[float, float], variance: tuple[float, float]
) -> Curve:
    """Fit the log odds of `successes` in `trials` (a row per product, a column per x) as a + b·x.

    a and b have independent normal priors. The posterior's mode is found by Newton's method, and its covariance is the
    inverse of the second derivative there (Laplace's approximation).
    """
    a, b = np.full(len(x), mean[0]), np.full(len(x), mean[1])
    for _ in range(_ITERATIONS):
        p = _logistic(a[:, None] + b[:, None] * x)
        c00, c01, c11 = _posterior_covariance(x, trials * p * (1.0 - p), variance)
        rest = successes - trials * p
        g0 = rest.sum(axis=1) - (a - mean[0]) / variance[0]
        g1 = (rest * x).sum(axis=1) - (b - mean[1]) / variance[1]
        da, db = c00 * g0 + c01 * g1, c01 * g0 + c11 * g1
        longest = np.maximum(np.abs(da) / _LARGEST_STEP[0], np.abs(db) / _LARGEST_STEP[1])
        scale = 1.0 / np.maximum(longest, 1.0)
        a, b = a + scale * da, b + scale * db
    p = _logistic(a[:, None] + b[:, None] * x)
    return Curve(a, b, *_posterior_covariance(x, trials * p * (1.0 - p), variance))


def _posterior_covariance(x: Floats, weight: Floats, variance: tuple[float, float]) -> tuple[Floats, Floats, Floats]:
    """Covariance matrix (c00, c01, c11) of a and b; `weight` is the information of each column about a + b·x."""
    weighted = weight * x
    h00 = weight.sum(axis=1) + 1.0 / variance[0]
    h01 = weighted.sum(axis=1)
    h11 = (weighted * x).sum(axis=1) + 1.0 / variance[1]
    determinant = h00 * h11 - h01 * h01
    return h11 / determinant, -h01 / determinant, h00 / determinant


class Mixture(NamedTuple):
    """Solution of the linear program: two columns and the share of the second one, per product."""

    first: Whole
    second: Whole
    share: Floats
    is_limited: Flags
    """Whether the limit binds: without it, another column would be best."""
    is_short: Flags
    """Whether each column exceeds the limit, so that no mixture satisfies it."""


def best_mixture(demand: Floats, profit: Floats, limit: Floats) -> Mixture:
    """Maximize Σ q·profit with Σ q·demand ≤ limit, Σ q = 1 and q ≥ 0; a row per product, a column per price.

    A solution has at most two positive shares. They are the ends of the edge above `limit` of the upper convex hull of
    the points (demand, profit), unless the highest point is within the limit.
    """
    rows = np.arange(len(demand))
    within = demand <= limit[:, None]
    top = profit.argmax(axis=1)
    is_short: Flags = np.equal(within.sum(axis=1), 0)
    is_limited: Flags = np.logical_and(demand[rows, top] > limit, ~is_short)
    first = np.where(within, profit, -np.inf).argmax(axis=1)
    second, share = first.copy(), np.zeros(len(demand))
    bound = np.flatnonzero(is_limited)
    points = _Points(demand[bound], profit[bound], limit[bound])
    left, right, inside = first[bound], top[bound], within[bound]
    # Each end is moved to where the edge's height at the limit is largest, until no point is above the edge.
    for _ in range(demand.shape[1]):
        before = left, right
        right = points.highest_from(left, ~inside)
        left = points.highest_from(right, inside)
        if np.array_equal(left, before[0]) and np.array_equal(right, before[1]):
            break
    first[bound], second[bound] = left, right
    share[bound] = points.share_of_second(left, right)
    return Mixture(first, second, share, is_limited, is_short)


@frozen(eq=False)
class _Points:
    """Points (demand, profit) with a row per product and a column per price, and a limit of the demand per row."""

    demand: Floats
    profit: Floats
    limit: Floats

    def highest_from(self, end: Whole, admitted: Flags) -> Whole:
        """The admitted column whose line to the column `end` has the largest profit at the limit.

        If `end` is at the limit, all lines have the same profit there, and the other column's share is 0.
        """
        rows = np.arange(len(end))
        d, r = self.demand[rows, end], self.profit[rows, end]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (self.profit - r[:, None]) / (self.demand - d[:, None])
        at_limit = r[:, None] + (self.limit - d)[:, None] * slope
        found: Whole = np.where(admitted & ~np.isnan(at_limit), at_limit, -np.inf).argmax(axis=1)
        return found

    def share_of_second(self, first: Whole, second: Whole) -> Floats:
        """Share of the column `second` with which the mean demand equals the limit."""
        rows = np.arange(len(first))
        d = self.demand[rows, first]
        share: Floats = (self.limit - d) / (self.demand[rows, second] - d)
        return share


def _logistic(z: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(np.clip(-z, -15.0, 15.0)))
