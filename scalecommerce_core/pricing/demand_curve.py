"""The demand curve of strategies that learn elasticities: sales are proportional to exp(b·x) at the distance x.

x = 4·((price / reference)^¼ - 1), a Box-Cox transformation (Box and Cox 1964) between the logarithm of the price, for
which b is a constant elasticity, and price / reference - 1, for which demand is exponential. Real demand is one or the
other, or logistic; with the exponent ¼ the error is small for each of them. At the reference b is the elasticity;
elsewhere the elasticity is b·(price / reference)^¼. Only square roots are used, whose results are the same on every
machine.
"""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole

FLATTEST: Final = -0.8
"""Upper limit of the elasticity in the optimal price, which diverges as the elasticity approaches 0."""


def fourth_root(values: Floats) -> Floats:
    root: Floats = np.sqrt(np.sqrt(values))
    return root


def price_distance(price: Floats | Whole, reference: Floats | Whole) -> Floats:
    """Distance x of a price from the reference price; 0 at the reference."""
    return 4.0 * (fourth_root(price / reference) - 1.0)


def price_at(distance: Floats, reference: Floats | Whole) -> Floats:
    """The price at this distance x from the reference price: the inverse of `price_distance`."""
    root = np.maximum(1.0 + 0.25 * distance, 0.0)
    squared = root * root
    price: Floats = reference * (squared * squared)
    return price


def next_price(b: Floats, price: Floats, break_even: Floats, root: Floats) -> Floats:
    """The optimal price if the elasticity at `price` were that of every price: one step towards the optimum.

    Expected profit (p - c)·exp(s·p / price) is highest at p = c + price / -s. `root` is the fourth root of
    price / reference, and s = b·root the elasticity at `price`. The step's fixed point is the curve's optimum.
    """
    return break_even + price / -np.minimum(b * root, FLATTEST)
