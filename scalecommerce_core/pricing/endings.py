"""Price endings: .99, .90 or a whole amount, as sellers like them."""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Flags, Whole

_UNIT: Final = 100
_REST: Final = {"99": 99, "90": 90, "whole": 0}


def nearest_ending(price: Whole, low: Whole, high: Whole, ending: str) -> tuple[Whole, Flags]:
    """The price nearest to `price` that has the ending and lies in [low, high], and whether there is one.

    The lower one of two that are equally near.
    """
    rest = _REST[ending]
    below = (price - rest) // _UNIT * _UNIT + rest
    above = np.where(below == price, below, below + _UNIT)
    takes_above = (below < low) | (((above - price) < (price - below)) & (above <= high))
    chosen = np.where(takes_above, above, below)
    return chosen, (chosen >= low) & (chosen <= high)
