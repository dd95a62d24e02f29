"""Array types, sums by group, and types of stored arrays.

Arrays have one element per product, unless a docstring says otherwise.
"""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

_WHOLE: Final = tuple((kind, np.iinfo(kind).min, np.iinfo(kind).max) for kind in ("<i1", "<i2", "<i4"))
"""The narrow types of whole numbers with their bounds."""
_SAMPLE: Final = 64
"""Values that mostly show whether a type is too narrow, before all values are converted."""


def sums(group: Whole, values: Floats, size: int) -> Floats:
    """Sum of `values` in each group; `group` numbers them from 0 to `size` - 1."""
    return np.bincount(group, weights=values, minlength=size).astype(np.float64)


def narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """The values in the narrowest little-endian type that represents all of them exactly."""
    if values.dtype == np.bool_:
        return values.astype("|b1")
    if values.dtype.kind == "f":
        return _narrowed_floats(values)
    least, most = (values.min(), values.max()) if values.size else (0, 0)
    for kind, lowest, highest in _WHOLE:
        if lowest <= least and most <= highest:
            return values.astype(kind)
    return values.astype("<i8", copy=False)


def _narrowed_floats(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == np.float32:
        return values.astype("<f4", copy=False)
    if _as_single(values[:_SAMPLE]) is not None:
        narrow = _as_single(values)
        if narrow is not None:
            return narrow
    return values.astype("<f8", copy=False)


def _as_single(values: NDArray[Any]) -> NDArray[Any] | None:
    """The values with 4 bytes; None if this changes one of them. Bits are compared, so that NaN equals NaN."""
    with np.errstate(over="ignore"):
        narrow = values.astype("<f4")
    same = narrow.astype(np.float64).view(np.int64) == np.ascontiguousarray(values, np.float64).view(np.int64)
    return narrow if same.all() else None
