"""What a unit costs, where the seller has told it and where not."""

import numpy as np

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.signals import Signals


def break_even(signals: Signals, elasticity: Floats | float) -> Floats:
    """The price at which nothing is earned, fee included.

    Where the cost is unknown, the one that makes the reference the best price at this elasticity: the seller knew
    what they did, until sales say otherwise.
    """
    assumed = signals.reference * (1.0 + 1.0 / np.minimum(elasticity, -1.0))
    cost = signals.full_cost()
    return np.where(np.isnan(cost), assumed, cost)
