"""Price endings: .99, .90 or a whole amount, as sellers like them."""

from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Flags, Whole

_HUNDREDTHS: Final = {"99": 99, "90": 90, "whole": 0}


def nearest_ending(price: Whole, low: Whole, high: Whole, ending: str, per_unit: Whole) -> tuple[Whole, Flags]:
    """The price nearest to `price` that has the ending and lies in [low, high], and whether there is one.

    The lower one of two that are equally near. Endings are hundredths of a whole unit, which has `per_unit` minor ones:
    .99 is .990 where there are three decimals. Where there are none every price is whole, and the other endings are
    those of a hundred: 1,999 or 1,990 yen.
    """
    step = per_unit if ending == "whole" else np.where(per_unit == 1, 100, per_unit)
    rest = step * _HUNDREDTHS[ending] // 100
    below = (price - rest) // step * step + rest
    above = np.where(below == price, below, below + step)
    takes_above = (below < low) | (((above - price) < (price - below)) & (above <= high))
    chosen = np.where(takes_above, above, below)
    return chosen, (chosen >= low) & (chosen <= high)
