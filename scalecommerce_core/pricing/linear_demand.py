"""Linear demand with Gaussian noise, for goods sold in bulk, where units per view are not a small probability."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from attrs import frozen

from scalecommerce_core.domain.money import MIN_PRICE
from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.costs import break_even
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


@register
@frozen
class LinearDemand:
    """Fits units per view = a + b·price/reference + noise by Bayesian regression, and prices by Thompson sampling.

    The prior describes a population of such products.
    """

    name: ClassVar[str] = "linear_demand"
    columns: ClassVar[Mapping[str, int]] = {"a": 1, "b": 1, "c00": 1, "c01": 1, "c11": 1}
    intercept: float = parameter(1.1, at_least=0, at_most=10**6, says="Prior mean of a.")
    intercept_spread: float = parameter(0.03, at_least=1e-9, at_most=10**12, says="Prior variance of a.")
    slope: float = parameter(-0.575, at_least=-(10**6), at_most=-1e-6, says="Prior mean of b.")
    slope_spread: float = parameter(0.0169, at_least=1e-9, at_most=10**12, says="Prior variance of b.")
    noise: float = parameter(0.04, at_least=1e-9, at_most=10**12, says="Variance of the units bought in one view.")
    drift: float = parameter(0.0, at_least=0, at_most=10**6, says="Variance added to a and b each week.")
    caution: float = parameter(0.5, at_least=0, at_most=3, says="Standard deviations by which sampled a and b vary.")
    seed: int = parameter(0, at_least=0, at_most=2**63 - 1, says="Seed of the random draws.")

    def start(self, signals: Signals, groups: Mapping[str, Floats]) -> State:
        del groups
        n = len(signals)
        return State({
            "a": np.full(n, self.intercept), "b": np.full(n, self.slope), "c00": np.full(n, self.intercept_spread),
            "c01": np.zeros(n), "c11": np.full(n, self.slope_spread),
        })  # fmt: skip

    def update(self, state: State, signals: Signals) -> State:
        a, b, c00, c01, c11 = (state.products[name] for name in self.columns)
        walk = self.drift * signals.epoch_days / 7.0
        c00, c11 = c00 + walk, c11 + walk
        x = signals.price / signals.reference
        along0, along1 = c00 + x * c01, c01 + x * c11
        with np.errstate(divide="ignore", invalid="ignore"):
            f = along0 + x * along1 + self.noise / (signals.views * signals.weight)
            error = np.where(signals.views > 0, signals.units / signals.views - a - b * x, 0.0)
        k0, k1 = along0 / f, along1 / f
        return State({
            "a": a + k0 * error, "b": b + k1 * error, "c00": c00 - k0 * along0, "c01": c01 - k0 * along1,
            "c11": c11 - k1 * along1,
        })  # fmt: skip

    def pool(self, state: State, signals: Signals) -> State:
        """Return `state`: the prior of the population is a parameter."""
        del signals
        return state

    def propose(self, state: State, signals: Signals, epoch: int) -> Proposal:
        a, b = self._drawn(state, signals, epoch)
        cost = break_even(signals, ROOT_MEAN)
        steepest = np.minimum(b, 0.1 * self.slope)
        best = 0.5 * (cost - signals.reference * a / steepest)
        # An intercept below 0 gives an optimum below 0, which the lowest possible price replaces.
        return Proposal(np.maximum(best, MIN_PRICE), motive_column(Motive.LEARNED, len(signals)))

    def estimate_demand(self, state: State, signals: Signals, prices: Floats) -> DemandEstimate | None:
        a, b, c00, c01, c11 = (state.products[name][0] for name in self.columns)
        x = prices / signals.reference[0]
        expected = a + b * x
        width = EIGHTY_PERCENT * np.sqrt(np.maximum(c00 + 2.0 * x * c01 + x * x * c11, 0.0))
        low, middle, high = (np.maximum(rate, 0.0) for rate in (expected - width, expected, expected + width))
        return DemandEstimate(prices, middle, low, high)

    def _drawn(self, state: State, signals: Signals, epoch: int) -> tuple[Floats, Floats]:
        a, b, c00, c01, c11 = (state.products[name] for name in self.columns)
        first = self.caution * seeded_random.normal(signals.product, epoch, seed=self.seed, use=0)
        second = self.caution * seeded_random.normal(signals.product, epoch, seed=self.seed, use=1)
        root = np.sqrt(c00)
        rest = np.sqrt(np.maximum(c11 - c01 * c01 / c00, 0.0))
        return a + root * first, b + c01 / root * first + rest * second
