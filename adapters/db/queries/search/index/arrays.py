"""Operations on numpy arrays that several modules of the index need."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NO_DOCUMENTS: Final[NDArray[np.uint32]] = np.empty(0, np.uint32)


def narrow(values: Array) -> Array:
    """Return the values in 32 bits without sign if they fit, otherwise in 64 bits."""
    is_small = not len(values) or (values.min() >= 0 and values.max() < 2**32)
    return values.astype(np.uint32 if is_small else np.int64)


def insertion_place(ascending: Array, value: int) -> int:
    """Return how many values of an ascending array are below `value`."""
    limits = np.iinfo(ascending.dtype)
    if not limits.min <= value <= limits.max:
        return 0 if value < limits.min else len(ascending)
    # In the type of the array, which would otherwise be converted.
    return int(ascending.searchsorted(ascending.dtype.type(value)))


def ranges(starts: Array, lengths: Array) -> NDArray[np.int64]:
    """Return the concatenated numbers of the ranges that begin at `starts`."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    numbers: NDArray[np.int64] = np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)
    return numbers


def is_member(values: Array, of: Array) -> NDArray[np.bool_]:
    """Return for each value whether it is in the ascending array `of`; both have the same type."""
    if not len(of):
        return np.zeros(len(values), bool)
    places = of.searchsorted(values)
    # A value above the last element is compared with that element, which differs from it.
    return of.take(places, mode="clip") == values  # type: ignore[no-any-return] # of arrays of any type


def without(values: Array, removed: Array) -> Array:
    """Return the ascending values that are not in the ascending array `removed`."""
    if not len(removed) or not len(values):
        return values
    if len(removed) * 8 > len(values):
        return values[~is_member(values, removed)]
    places = values.searchsorted(removed)
    return np.delete(values, places[values.take(places, mode="clip") == removed])


def union(parts: Sequence[Array], size: int) -> Array:
    """Return the ascending distinct values of ascending arrays of document numbers below `size`."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NO_DOCUMENTS
    if sum(map(len, parts)) * 32 > size:
        # Many documents: marking them costs less than sorting.
        is_present = np.zeros(size, bool)
        for part in parts:
            is_present[part] = True
        return np.flatnonzero(is_present).astype(np.uint32)
    merged = np.concatenate(parts)
    merged.sort()
    return merged[np.concatenate(([True], merged[1:] != merged[:-1]))] if len(merged) else merged
