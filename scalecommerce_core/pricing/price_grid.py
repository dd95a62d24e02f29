"""A list of prices for products with much traffic: counts at each price, combined with the demand filter's curve.

Counts correct the curve where its shape is wrong; the curve predicts prices that have not been tried.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.costs import break_even
from scalecommerce_core.pricing.demand_filter import Belief, Drift, update_belief
from scalecommerce_core.pricing.interface import (
    EIGHTY_PERCENT,
    DemandEstimate,
    Motive,
    Proposal,
    State,
    motive_column,
    parameter,
    register,
)
from scalecommerce_core.pricing.shrinkage import ROOT_MEAN
from scalecommerce_core.pricing.signals import Signals

MOST_PRICES: Final = 20
_RELATIVE: Final = tuple(0.7 + 0.05 * step for step in range(13))
_BELIEF: Final = {"a": 1, "b": 1, "c00": 1, "c01": 1, "c11": 1}


@register
@frozen
class PriceGrid(Drift):
    """Chooses from a list of prices by Thompson sampling.

    The conversion rate of each price has a Beta distribution, whose prior mean is the demand curve and whose prior
    weight is `prior_views` views. It is sampled by a normal approximation.
    """

    name: ClassVar[str] = "price_grid"
    columns: ClassVar[Mapping[str, int]] = _BELIEF | {"arm_views": MOST_PRICES, "arm_units": MOST_PRICES}
    prices: tuple[int, ...] = parameter(
        (),
        at_least=1,
        at_most=9_999_999_999,
        longest=MOST_PRICES,
        says="Prices in minor units; an empty list: 70 % to 130 % of the reference price.",
    )
    prior_views: float = parameter(
        50.0, at_least=1, at_most=10**6, says="Weight of the demand curve at each price, in views."
    )
    half_life_weeks: float = parameter(
        104.0, at_least=0.1, at_most=10**4, says="Weeks after which a view or sale counts half."
    )
    caution: float = parameter(
        1.4, at_least=0, at_most=3, says="Standard deviations by which sampled conversion rates vary."
    )
    slope_mean: float = parameter(
        -1.0, at_least=-10, at_most=0, says="Mean elasticity at the reference price, before any sale."
    )
    slope_spread: float = parameter(1.0, at_least=0.01, at_most=10, says="Variance of the elasticity, before any sale.")
    seed: int = parameter(0, at_least=0, at_most=2**63 - 1, says="Seed of the random draws.")

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        del groups
        n = len(signals)
        empty = np.zeros((n, MOST_PRICES))
        conversion = (signals.units + 1.0) / (signals.views + 50.0)
        return State({
            "a": np.log(np.clip(conversion, 1e-4, 1.0)), "b": np.full(n, self.slope_mean), "c00": np.full(n, 1.0),
            "c01": np.zeros(n), "c11": np.full(n, self.slope_spread), "arm_views": empty, "arm_units": empty,
        })  # fmt: skip

    def update(self, state: State, signals: Signals) -> State:
        was = state.products
        weeks = signals.epoch_days / 7.0
        x = signals.price / signals.reference - 1.0
        belief = update_belief(
            Belief(*(was[name] for name in _BELIEF)),
            self,
            x=x,
            views=signals.views,
            units=signals.units,
            weeks=weeks,
            weight=signals.weight,
        )
        # A price that a guardrail has changed counts for the nearest arm.
        arm = np.abs(listed_prices(self.prices, signals) - signals.price[:, None]).argmin(axis=1)
        hit = np.zeros_like(was["arm_views"])
        hit[np.arange(len(arm)), arm] = 1.0
        fade = (0.5 ** (weeks / self.half_life_weeks))[:, None]
        views = was["arm_views"] * fade + hit * (signals.weight * signals.views)[:, None]
        units = was["arm_units"] * fade + hit * (signals.weight * signals.units)[:, None]
        return State({**belief._asdict(), "arm_views": views, "arm_units": units})

    def pool(self, state: State, signals: Signals) -> State:
        """Return `state`: products with much traffic need no estimate of their category."""
        del signals
        return state

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        arms = listed_prices(self.prices, signals)
        k = arms.shape[1]
        rate, deviation = self._rates(state, signals, arms)
        drawn = rate + self.caution * deviation * self._draws(signals, epoch, k)
        margin = arms - break_even(signals, ROOT_MEAN)[:, None]
        best = (margin * np.maximum(drawn, 0.0)).argmax(axis=1)
        return Proposal(arms[np.arange(len(best)), best], motive_column(Motive.LEARNED, len(signals)))

    def estimate_demand(self, state: State, signals: Signals, prices: Floats) -> DemandEstimate | None:
        del prices
        arms = listed_prices(self.prices, signals)
        rate, deviation = (values[0] for values in self._rates(state, signals, arms))
        width = EIGHTY_PERCENT * deviation
        return DemandEstimate(arms[0], rate, np.maximum(rate - width, 0.0), rate + width)

    def _rates(self, state: State, signals: Signals, arms: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the conversion rate at each of the prices."""
        k = arms.shape[1]
        views, units = (state.products[name][:, :k] for name in ("arm_views", "arm_units"))
        a, b = (state.products[name][:, None] for name in ("a", "b"))
        curve = np.exp(np.clip(a + b * (arms / signals.reference[:, None] - 1.0), -9.0, 0.0))
        weight = self.prior_views + views
        rate = (self.prior_views * curve + units) / weight
        return rate, np.sqrt(rate * (1.0 - rate) / (weight + 1.0))

    def _draws(self, signals: Signals, epoch: int, arms: int) -> Floats:
        return np.stack(
            [seeded_random.normal(signals.product, epoch, seed=self.seed, use=arm) for arm in range(arms)], axis=1
        )


def listed_prices(prices: tuple[int, ...], signals: Signals) -> Floats:
    """Prices to choose from in minor units, a row per product; by default 70 % to 130 % of the reference price."""
    if not prices:
        relative: Floats = np.rint(signals.reference[:, None] * np.array(_RELATIVE))
        return relative
    return np.broadcast_to(np.array(prices, dtype=np.float64), (len(signals), len(prices)))
