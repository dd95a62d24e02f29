"""Array types, and sums by group. Arrays have one element per product, unless a docstring says otherwise."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


def sums(group: Whole, values: Floats, size: int) -> Floats:
    """Sum of `values` in each group; `group` numbers them from 0 to `size` - 1."""
    return np.bincount(group, weights=values, minlength=size).astype(np.float64)
