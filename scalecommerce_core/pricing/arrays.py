"""Array types, sums by group, and types of stored arrays.

Arrays have one element per product, unless a docstring says otherwise.
"""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

_WHOLE: Final = ("<i1", "<i2", "<i4", "<i8")
_FLOAT: Final = ("<f4", "<f8")
_SAMPLE: Final = 64
"""Values that show of most types that they are too narrow, before all values are converted."""


def sums(group: Whole, values: Floats, size: int) -> Floats:
    """Sum of `values` in each group; `group` numbers them from 0 to `size` - 1."""
    return np.bincount(group, weights=values, minlength=size).astype(np.float64)


def narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """The values in the narrowest little-endian type that represents all of them exactly."""
    if values.dtype == np.bool_:
        return values.astype("|b1")
    kinds = _FLOAT if values.dtype.kind == "f" else _WHOLE
    with np.errstate(over="ignore"):
        for kind in kinds[:-1]:
            if _are_exact(values[:_SAMPLE], kind) and _are_exact(values, kind):
                return values.astype(kind)
    return values.astype(kinds[-1])


def _are_exact(values: NDArray[Any], kind: str) -> bool:
    return np.array_equal(values.astype(kind).astype(values.dtype), values, equal_nan=values.dtype.kind == "f")
