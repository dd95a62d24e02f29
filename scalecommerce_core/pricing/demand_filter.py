"""Demand filter: estimates a product's conversion rate and elasticity from its sales; five floats per product.

Units sold ~ Poisson(views · exp(a + b·x)) with x = price / reference - 1, so b is the elasticity at the reference.
The estimate of (a, b) is updated by an extended Kalman filter with a bounded innovation, as in a dynamic generalized
linear model (West, Harrison and Migon 1985). a and b follow random walks: without their variance, a filter that also
sets the prices becomes certain of a wrong elasticity (incomplete learning: Keskin and Zeevi 2014).
"""

from typing import NamedTuple

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats
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


@frozen
class Drift:
    """Parameters of the filter: variance of the random walks per week, and noise of sales."""

    level: float = parameter(0.005, at_least=0, at_most=1, says="Variance added to the log conversion rate each week.")
    slope: float = parameter(0.0005, at_least=0, at_most=1, says="Variance added to the elasticity each week.")
    dispersion: float = parameter(
        1.2, at_least=1, at_most=100, says="Variance of sales divided by that of a Poisson distribution."
    )


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
    """Update the belief with `units` sold in `views` at relative price `x`, after `weeks` of random walk.

    The variance of the units is that of a Poisson count, multiplied by the dispersion and divided by `weight`.

    Without views, only the random walk is applied.
    """
    a, b, c00, c01, c11 = belief
    c00 = c00 + drift.level * weeks
    c11 = c11 + drift.slope * weeks
    lam = views * np.exp(np.clip(a + b * x, -9.0, 0.0))
    seen = (lam > 0.0) & (weight > 0.0)
    k0_ = c00 + x * c01
    k1_ = c01 + x * c11
    with np.errstate(divide="ignore"):
        f = k0_ + x * k1_ + drift.dispersion / (lam * weight)
    k0 = k0_ / f
    k1 = k1_ / f
    r = np.where(seen, np.clip((units - lam) / np.maximum(lam, 0.5), -2.0, 3.0), 0.0)
    # Without views f is infinite, so both gains are 0 and the covariance is not reduced.
    return Belief(a + k0 * r, b + k1 * r, c00 - k0 * k0_, c01 - k0 * k1_, c11 - k1 * k1_)


def rebase_belief(belief: Belief, old: Floats, new: Floats) -> Belief:
    """Express the belief relative to another reference price: x' = (1 + x)·old/new - 1."""
    a, b, c00, c01, c11 = belief
    scale = new / old
    shift = scale - 1.0
    return Belief(
        a + b * shift,
        b * scale,
        c00 + 2 * shift * c01 + shift * shift * c11,
        (c01 + shift * c11) * scale,
        c11 * scale * scale,
    )
