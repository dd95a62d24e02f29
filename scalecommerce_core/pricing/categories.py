"""What products of a category have in common: arrays with a value per group, which grow with the groups."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.signals import Signals

_USUAL_CONVERSION: Final = 0.02
_SURE_AFTER: Final = 1_000.0
"""Views after which a category's own conversion counts more than the usual one."""


def group_count(groups: Mapping[str, Floats], signals: Signals) -> int:
    """How many groups there are with those that `signals` bring."""
    known = max((len(values) for values in groups.values()), default=0)
    return max(known, int(signals.group.max(initial=-1)) + 1)


def estimate_conversions(signals: Signals, groups: Mapping[str, Floats]) -> Floats:
    """Units per view of each group, drawn towards what is usual while little has been seen."""
    size = group_count(groups, signals)
    views = np.bincount(signals.group, weights=signals.views, minlength=size)
    units = np.bincount(signals.group, weights=signals.units, minlength=size)
    return np.clip((units + _SURE_AFTER * _USUAL_CONVERSION) / (views + _SURE_AFTER), 1e-4, 1.0)


def extend_groups(groups: Mapping[str, Floats], usual: Mapping[str, Floats]) -> Mapping[str, Floats]:
    """What is known of the groups, with what is `usual` for those that are seen for the first time."""
    if not groups:
        return usual
    return {name: np.concatenate([groups[name], new[len(groups[name]) :]]) for name, new in usual.items()}
