"""Sales of a new price that its first epoch does not show yet, because buyers pay later or have not noticed the price.

If the first epoch of each price shows the share exp(δ) of its sales, price changes seem to reduce sales, and a filter
that does not know δ attributes this to the elasticity. δ is the same for all products of a policy. It is estimated as
the bias of a Kalman filter (Friedland 1969): each product keeps the derivatives of its estimates with respect to δ, by
which they are corrected when the estimate of δ changes.
"""

from typing import Final, NamedTuple

import numpy as np

from scalecommerce_core.pricing.arrays import Flags, Floats
from scalecommerce_core.pricing.demand_filter import Belief, Forecast, observe_derivatives

DELAYS: Final = (-1.0, 0.2)
"""Bounds of δ."""
_PRIOR_INFORMATION: Final = 100.0
"""Information of the prior δ of 0, whose standard deviation is 0.1."""
_MEMORY: Final = 0.98
"""Share of the information of past epochs that an epoch leaves."""


class Delay(NamedTuple):
    """What a product tells about δ."""

    delay_a: Floats
    delay_b: Floats
    """Derivatives of the estimates a and b with respect to δ."""
    delay_score: Floats
    """Sum of forecast errors times their derivatives, divided by their variances."""
    delay_information: Floats
    """Sum of squared derivatives divided by the variances."""

    @classmethod
    def unknown(cls, size: int) -> "Delay":
        return cls(*(np.zeros(size) for _ in cls._fields))


def observe_delay(
    delay: Delay, before: Belief, forecast: Forecast, *, x: Floats, is_first: Flags, is_new: Flags
) -> Delay:
    """Add a forecast that was computed from the belief `before`.

    Errors of new products (`is_new`) concern the assumed conversion rate of their category.
    """
    derivative = is_first + delay.delay_a + x * delay.delay_b
    a, b = observe_derivatives(before, forecast, x=x, a=delay.delay_a, b=delay.delay_b, derivative=derivative)
    told = np.where(is_new, 0.0, derivative * forecast.precision)
    return Delay(
        a,
        b,
        _MEMORY * delay.delay_score + told * forecast.error,
        _MEMORY * delay.delay_information + told * derivative,
    )


def estimate_delay(delay: Delay, known: Floats) -> Floats:
    """δ by group, the same for all; `known` is the estimate to which `delay` belongs."""
    # The prior's mean is 0.
    score = float(delay.delay_score.sum()) - _PRIOR_INFORMATION * float(known[0])
    change = score / (float(delay.delay_information.sum()) + _PRIOR_INFORMATION)
    estimate: Floats = np.clip(known + change, *DELAYS)
    return estimate


def correct_belief(belief: Belief, delay: Delay, change: Floats) -> tuple[Belief, Delay]:
    """The belief and what is known about δ after a change of its estimate."""
    corrected = belief._replace(a=belief.a + change * delay.delay_a, b=belief.b + change * delay.delay_b)
    return corrected, delay._replace(delay_score=delay.delay_score - change * delay.delay_information)
