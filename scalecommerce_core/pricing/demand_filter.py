"""Demand filter: estimates a product's conversion rate and elasticity from its sales; five floats per product.

Units sold ~ Poisson(views · exp(a + b·x)), where x is the distance of the price from the reference price
(`demand_curve`), so b is the elasticity at the reference.
The estimate of (a, b) is updated as in a dynamic generalized linear model with a conjugate Gamma prior and a bounded
innovation (West, Harrison and Migon 1985). a and b follow random walks: without their variance, a filter that also
sets the prices becomes certain of a wrong elasticity (incomplete learning: Keskin and Zeevi 2014).
"""

from typing import Final, NamedTuple

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.interface import parameter


class Belief(NamedTuple):
    """Estimate of the log conversion rate at the reference price (a) and of the elasticity (b).

    a and b are means; c00, c01 and c11 are the variance of a, the covariance, and the variance of b.
    """

    a: Floats
    b: Floats
    c00: Floats
    c01: Floats
    c11: Floats

    def rows(self, chosen: Whole) -> "Belief":
        return Belief(*(values[chosen] for values in self))

    def with_rows(self, chosen: Whole, other: "Belief") -> "Belief":
        """The belief with the rows of `other` in place of those chosen."""
        replaced = Belief(*(np.array(values) for values in self))
        for values, new in zip(replaced, other, strict=True):
            values[chosen] = new
        return replaced


@frozen
class Drift:
    """Parameters of the filter: variance of the random walks per week, and noise of sales."""

    level: float = parameter(0.005, at_least=0, at_most=1, says="Variance added to the log conversion rate each week.")
    slope: float = parameter(0.0005, at_least=0, at_most=1, says="Variance added to the elasticity each week.")
    dispersion: float = parameter(
        1.2, at_least=1, at_most=100, says="Variance of sales divided by that of a Poisson distribution."
    )


_INCREDIBLE: Final = 3.0
_KNOWN: Final = 0.2
_INCREDIBLE_WEIGHT: Final = 0.02
"""Weight of sales of more than `_INCREDIBLE` times the forecast, if the variance of its logarithm is below `_KNOWN`."""
_LARGEST_SQUARE: Final = 4.0
"""Squared error, in variances of the forecast, beyond which the weight of sales decreases."""
_LEAST_VARIANCE: Final = 1e-300
"""Divisor instead of a variance of 0."""


class Forecast(NamedTuple):
    """Forecast of an epoch's sales, before they were known."""

    expected: Floats
    """Units."""
    variance: Floats
    """Variance of the logarithm of `expected`, from that of the belief."""
    dispersion: Floats | float
    """Variance of sales divided by `expected` if the belief is certain."""
    error: Floats
    """Relative error, within bounds."""
    precision: Floats
    """Inverse of the variance of `error`; 0 without views."""


def update_belief(
    belief: Belief,
    drift: Drift,
    *,
    x: Floats,
    views: Floats,
    units: Floats,
    weeks: Floats,
    weight: Floats | float = 1.0,
) -> Belief:
    """Update the belief with `units` sold in `views` at distance `x`, after `weeks` of random walk.

    The variance of the units is that of a Poisson count, multiplied by the dispersion and divided by `weight`.

    Without views, only the random walk is applied.
    """
    aged = belief._replace(c00=belief.c00 + drift.level * weeks, c11=belief.c11 + drift.slope * weeks)
    return observe_sales(aged, x=x, views=views, units=units, weight=weight, dispersion=drift.dispersion)[0]


MOST_SALES: Final = 3.0
"""Largest relative excess of sales over their forecast that counts; ten times the forecast's variance widens it."""


def _outlier_weight(units: Floats, expected: Floats, dispersion: Floats) -> Floats:
    """Weight by which squared errors count as at most `_LARGEST_SQUARE` variances: views and orders come in bursts.

    Errors are compared on the scale that stabilizes the variance of a count (Anscombe 1948).
    """
    error = 2.0 * (np.sqrt(np.maximum(units, 0.0) + 0.375) - np.sqrt(expected + 0.375))
    weight: Floats = np.minimum(_LARGEST_SQUARE * dispersion / np.maximum(error * error, 1e-9), 1.0)
    return weight


def observe_sales(
    belief: Belief,
    *,
    x: Floats,
    views: Floats,
    units: Floats,
    weight: Floats | float,
    dispersion: Floats | float,
    relative_noise: Floats | float = 0.0,
    robust: bool = False,
) -> tuple[Belief, Forecast]:
    """Update the belief as `update_belief` does, without a random walk; return the forecast, too.

    `relative_noise` is the variance of the conversion rate between epochs in relation to its square, from events that
    are not effects of the price. Unlike that of a Poisson count, it does not average out over the visitors of an epoch.
    `robust` reduces the weight of large errors.
    """
    a, b, c00, c01, c11 = belief
    lam = views * np.exp(np.clip(a + b * x, -9.0, 0.0))
    dispersion = dispersion + relative_noise * lam
    k0_ = c00 + x * c01
    k1_ = c01 + x * c11
    known = k0_ + x * k1_
    # Sales that no change of the price explains, of a product whose demand is known, are probably not real.
    incredible = units > _INCREDIBLE * (lam + 1.0)
    if incredible.any():
        weight = np.where(incredible & (known < _KNOWN), _INCREDIBLE_WEIGHT, 1.0) * weight
    if robust:
        weight = _outlier_weight(units, lam, dispersion + lam * known) * weight
    precision = lam * weight
    # Without views the precision is 0, so the belief is not changed.
    inverse = precision / (known * precision + dispersion)
    most = MOST_SALES * (1.0 + 10.0 * known)
    r = np.clip((units - lam) / np.maximum(lam, 0.5), -1.0, most)
    # Update of the conjugate Gamma distribution of exp(a + b·x): its logarithm changes by log(1 + s), and not by s.
    step = np.log1p(known * inverse * r) / np.maximum(known, _LEAST_VARIANCE)
    k0, k1 = k0_ * inverse, k1_ * inverse
    updated = Belief(a + k0_ * step, b + k1_ * step, c00 - k0 * k0_, c01 - k0 * k1_, c11 - k1 * k1_)
    return updated, Forecast(lam, known, dispersion, r, inverse)


def observe_derivatives(
    before: Belief, forecast: Forecast, *, x: Floats, a: Floats, b: Floats, derivative: Floats
) -> tuple[Floats, Floats]:
    """Derivatives of the estimates a and b with respect to a bias, after the observation of a forecast.

    `a` and `b` are those before it, and `derivative` is that of the logarithm of the forecast (Friedland 1969).
    """
    share = derivative * forecast.precision
    return a - (before.c00 + x * before.c01) * share, b - (before.c01 + x * before.c11) * share


def revert_slope(belief: Belief, mean: Floats, variance: Floats, share: Floats) -> Belief:
    """Let the elasticity return to its prior by `share` of its variance: an autoregressive process of first order.

    Unlike a random walk, it keeps the variance of a population of products constant.
    """
    a, b, c00, c01, c11 = belief
    kept2 = np.maximum(1.0 - share, 0.0)
    kept = np.sqrt(kept2)
    return Belief(a, mean + kept * (b - mean), c00, kept * c01, kept2 * np.minimum(c11, variance) + share * variance)
