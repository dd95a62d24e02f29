"""The demand filter: what a product's sales say about its price, in five floats that follow a drifting world.

Units sold ~ Poisson(views · exp(a + b·x)) with x = price / reference - 1, so b is the elasticity at the reference.
Both a and b walk at random: without that, a filter that also sets the prices grows ever surer of what it believes
and decays below fixed prices (closed-loop confounding). An extended Kalman filter with a bounded innovation.
"""

from typing import NamedTuple

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.interface import parameter


class Belief(NamedTuple):
    """Mean (a, b) and covariance (c00, c01, c11) of the log conversion at the reference and of the elasticity."""

    a: Floats
    b: Floats
    c00: Floats
    c01: Floats
    c11: Floats


@frozen
class Drift:
    """How fast the world is believed to change, per week, and how noisy it is."""

    level: float = parameter(0.005, at_least=0, at_most=1, says="Variance added to the log conversion rate each week.")
    slope: float = parameter(0.0005, at_least=0, at_most=1, says="Variance added to the elasticity each week.")
    dispersion: float = parameter(
        1.2, at_least=1, at_most=100, says="Variance of sales divided by that of a Poisson distribution."
    )


def update_belief(belief: Belief, drift: Drift, *, x: Floats, views: Floats, units: Floats, weeks: Floats) -> Belief:
    """The belief after `views` that bought `units` at price `x`; without views, time alone passes."""
    a, b, c00, c01, c11 = belief
    c00 = c00 + drift.level * weeks
    c11 = c11 + drift.slope * weeks
    lam = views * np.exp(np.clip(a + b * x, -9.0, 0.0))
    seen = lam > 0.0
    k0_ = c00 + x * c01
    k1_ = c01 + x * c11
    with np.errstate(divide="ignore"):
        f = k0_ + x * k1_ + drift.dispersion / lam
    k0 = k0_ / f
    k1 = k1_ / f
    r = np.where(seen, np.clip((units - lam) / np.maximum(lam, 0.5), -2.0, 3.0), 0.0)
    # With f infinite (nothing seen) both gains are 0, and so is what is taken off the covariance.
    return Belief(a + k0 * r, b + k1 * r, c00 - k0 * k0_, c01 - k0 * k1_, c11 - k1 * k1_)


def rebase_belief(belief: Belief, old: Floats, new: Floats) -> Belief:
    """The same belief about demand, told relative to another reference price: x' = (1 + x)·old/new - 1."""
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
