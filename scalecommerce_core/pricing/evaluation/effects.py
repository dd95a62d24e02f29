"""Least squares with fixed effects, and standard errors that allow for clusters."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats, Whole, sums

_ROUNDS: Final = 50
_CONVERGED: Final = 1e-7
_NO_VARIATION: Final = 1e-9


@frozen
class Slope:
    """A regression coefficient and its standard error; infinite if the data do not determine it."""

    value: float
    error: float

    @property
    def t(self) -> float:
        return self.value / self.error if self.error > 0 else 0.0


UNKNOWN_SLOPE: Final = Slope(0.0, float("inf"))


def remove_effects(values: Floats, effects: Sequence[Whole]) -> Floats:
    """Residuals of a regression on dummy variables: `values` less the means of each class of each of `effects`.

    With several effects, by alternating projections (Guimaraes and Portugal 2010).
    """
    counts = [np.maximum(np.bincount(effect), 1) for effect in effects]
    scale = float(np.abs(values).max(initial=0.0))
    for _ in range(_ROUNDS if len(effects) > 1 else 1):
        before = values
        for effect, count in zip(effects, counts, strict=True):
            values = values - (np.bincount(effect, weights=values, minlength=len(count)) / count)[effect]
        if float(np.abs(values - before).max(initial=0.0)) <= _CONVERGED * scale:
            break
    return values


def fit_slopes(x: Floats, y: Floats, clusters: Sequence[Whole]) -> list[Slope]:
    """Least squares of `y` on the columns of `x`, both free of effects.

    The standard error of each slope is the largest over the ways of clustering (Liang and Zeger 1986): rows of one
    cluster may depend on each other.
    """
    width = x.shape[1]
    moments = x.T @ x
    if len(y) <= width or np.linalg.matrix_rank(moments, tol=_NO_VARIATION) < width:
        return [UNKNOWN_SLOPE] * width
    inverse = np.linalg.inv(moments)
    value = inverse @ (x.T @ y)
    errors = y - x @ value
    variance = np.zeros(width)
    for cluster in clusters:
        size = int(cluster.max(initial=-1)) + 1
        if size < 3:
            return [UNKNOWN_SLOPE] * width
        scores = np.column_stack([sums(cluster, x[:, each] * errors, size) for each in range(width)])
        sandwich = inverse @ (scores.T @ scores) @ inverse * size / (size - 1)
        variance = np.maximum(variance, np.diag(sandwich))
    return [Slope(float(each), float(np.sqrt(square))) for each, square in zip(value, variance, strict=True)]
