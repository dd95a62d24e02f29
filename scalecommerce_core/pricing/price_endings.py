"""Price endings: .99, .90 or a whole amount."""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Flags, Whole

_HUNDREDTHS: Final = {"99": 99, "90": 90, "whole": 0}


def nearest_ending(price: Whole, low: Whole, high: Whole, ending: str, minor_per_unit: Whole) -> tuple[Whole, Flags]:
    """The price nearest to `price` that has the ending and lies in [low, high], and whether such a price exists.

    All prices are in minor units. Of two equally near prices, the lower one is returned. An ending is a number of
    hundredths of a whole unit; with three decimals, .99 is .990. In a currency without decimals, the endings 99 and
    90 apply to hundreds: 1,999 or 1,990 yen.
    """
    step = minor_per_unit if ending == "whole" else np.where(minor_per_unit == 1, 100, minor_per_unit)
    rest = step * _HUNDREDTHS[ending] // 100
    below = (price - rest) // step * step + rest
    above = np.where(below == price, below, below + step)
    takes_above = (below < low) | (((above - price) < (price - below)) & (above <= high))
    chosen = np.where(takes_above, above, below)
    return chosen, (chosen >= low) & (chosen <= high)
