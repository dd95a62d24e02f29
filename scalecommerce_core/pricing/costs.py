"""Break-even prices, also for products whose cost is unknown."""

import numpy as np

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.signals import Signals


def break_even(signals: Signals, elasticity: Floats | float) -> Floats:
    """Price at which the margin after fees is 0, in minor units.

    If the cost is unknown, the reference price is assumed to be optimal at this elasticity e, which gives
    reference · (1 + 1/e), with e limited to at most -1. If the seller has set another price p since, that one is
    assumed to be optimal for the same demand curve, which gives p + reference/e.
    """
    cost = signals.full_cost()
    unknown = np.isnan(cost)
    if not unknown.any():
        return cost
    steepness = np.minimum(elasticity, -1.0)
    assumed = signals.reference * (1.0 + 1.0 / steepness)
    chosen = signals.seller_price >= 0
    assumed = np.where(chosen, signals.seller_price + signals.reference / steepness, assumed)
    return np.where(unknown, assumed, cost)
