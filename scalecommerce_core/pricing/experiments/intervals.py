"""Confidence intervals of an estimate that is looked at once, or as often as one likes until a planned end."""

from math import sqrt
from statistics import NormalDist
from typing import Final

from attrs import frozen

LEVEL: Final = 0.95
"""Probability with which an interval contains the true value."""


def fixed_quantile(degrees_of_freedom: float) -> float:
    """Standard errors on each side of an estimate that is looked at once."""
    return student_quantile(0.5 + LEVEL / 2, degrees_of_freedom)


def repeated_quantile(degrees_of_freedom: float, elapsed: float) -> float:
    """Standard errors on each side of an estimate that may be looked at any number of times until the planned end.

    `elapsed` is the elapsed share of the planned time. The intervals of all looks contain the true value at once with a
    probability of `LEVEL` (repeated confidence intervals, Jennison and Turnbull 1989). Their boundary is that of
    O'Brien and Fleming (1979) for continuous looks: the sum of the errors up to a time is a Brownian motion, which by
    the reflection principle leaves ±c before the end with a probability of at most 4·(1 - Φ(c)), and dividing by the
    elapsed time gives c / √`elapsed`. Errors that persist, such as a changed popularity of a product, make successive
    looks more alike than those of a Brownian motion, and so fewer of them are wrong (Slepian 1962).
    """
    return student_quantile(1.0 - (1.0 - LEVEL) / 4, degrees_of_freedom) / sqrt(min(max(elapsed, 1e-9), 1.0))


def student_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t distribution by the expansion of Fisher and Cornish (1960).

    Its error is below 1 % for the probabilities used here. Fewer than 3 degrees of freedom count as 3.
    """
    z, n = NormalDist().inv_cdf(probability), max(degrees_of_freedom, 3.0)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160
    return z + first / n + second / n**2 + third / n**3 + fourth / n**4


@frozen
class Interval:
    """Bounds of a relative difference: 0.03 is 3 %."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2
