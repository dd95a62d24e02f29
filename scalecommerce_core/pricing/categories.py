"""Estimates per category (group): arrays with one element per group."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.signals import Signals

_USUAL_CONVERSION: Final = 0.02
_SURE_AFTER: Final = 1_000.0
"""Weight of `_USUAL_CONVERSION`, in views."""


def group_count(groups: Mapping[str, Floats], signals: Signals) -> int:
    """Number of groups, including groups that occur only in `signals`."""
    known = max((len(values) for values in groups.values()), default=0)
    return max(known, int(signals.group.max(initial=-1)) + 1)


def estimate_conversions(signals: Signals, groups: Mapping[str, Floats]) -> Floats:
    """Conversion rate (units per view) of each group, shrunk towards `_USUAL_CONVERSION`."""
    size = group_count(groups, signals)
    views = np.bincount(signals.group, weights=signals.views, minlength=size)
    units = np.bincount(signals.group, weights=signals.units, minlength=size)
    return np.clip((units + _SURE_AFTER * _USUAL_CONVERSION) / (views + _SURE_AFTER), 1e-4, 1.0)


def extend_groups(groups: Mapping[str, Floats], usual: Mapping[str, Floats]) -> Mapping[str, Floats]:
    """Append to `groups` the elements of `usual` for groups that `groups` does not have yet."""
    if not groups:
        return usual
    return {name: np.concatenate([groups[name], new[len(groups[name]) :]]) for name, new in usual.items()}
