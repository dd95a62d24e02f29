"""How sales vary: noise and drift of demand, estimated from the errors of the demand filter's forecasts.

A filter whose noise is set too high learns too little, and one whose noise is too low believes in accidents. Both show
in its one-step forecast errors (Mehra 1970): their variance must be the forecast's, and they must be uncorrelated.
Noise has two parts. That of independent buyers is proportional to the expected sales m, that of all else (advertising,
weather, robots, promotions of others) to m²: the variance of sales is φ·m + κ·m², as of a negative binomial
distribution (Lawless 1987). Errors that persist tell of a larger drift than assumed, errors that alternate of a
smaller one.
"""

from typing import Final, NamedTuple

import numpy as np

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.demand_filter import Forecast

DISPERSIONS: Final = (0.7, 100.0)
WALKS: Final = (0.0003, 0.05)
"""Bounds of both estimates. A dispersion slightly below 1 makes up for a drift that is lower than its bound."""
SCATTER_GAIN: Final = 0.2
PERSISTENCE_GAIN: Final = 0.2
"""Largest weight of an epoch in both running means."""
_LEAST_SALES: Final = 0.25
"""Expected sales below which the sign of an error says nothing about drift."""
_LARGEST_ERROR: Final = 3.0
_LARGEST_SCATTER: Final = 10.0
"""Largest value of an epoch, in multiples of the forecast's noise."""
MOST_RELATIVE_NOISE: Final = 1.0
_RELATIVE_PRECISION: Final = 400.0
"""Prior precision of κ, whose prior mean is 0."""
_SCATTER_VARIANCE: Final = 2.0 * SCATTER_GAIN / (2.0 - SCATTER_GAIN)
"""Variance of `Errors.scatter`, relative to the square of its mean."""
_PRIOR_PRODUCTS: Final = 20.0
"""Weight of the prior dispersion."""
_WALK_PRODUCTS: Final = 50.0
"""Number of products from which errors change the drift by most."""
_LARGEST_STEP: Final = 0.5
"""Largest change of the logarithm of the drift in a pooling."""


class Errors(NamedTuple):
    """Running means of each product's forecast errors."""

    scatter: Floats
    """Variance of sales divided by their expectation."""
    persistence: Floats
    """Mean of the errors in standard deviations of the forecast."""
    sales: Floats
    """Expected sales of an epoch, weighted as `scatter`."""


def update_errors(errors: Errors, forecast: Forecast, units: Floats, usable: Floats) -> Errors:
    """Add the error of a forecast. `usable` is 1 for epochs whose sales are evidence, 0 for others."""
    expected, known = forecast.expected, forecast.variance
    error = units - expected
    noise = forecast.dispersion + expected * known
    by_sales = np.where(expected > 0.0, expected, 1.0)
    most = _LARGEST_SCATTER * forecast.dispersion
    found = np.clip(error * error / by_sales - expected * known, -most, most)
    gain = SCATTER_GAIN * usable * expected / (1.0 + 2.0 * expected) * forecast.dispersion / noise
    standard = np.clip(error / np.sqrt(by_sales * noise), -_LARGEST_ERROR, _LARGEST_ERROR)
    memory = np.where(expected >= _LEAST_SALES, PERSISTENCE_GAIN * usable, 0.0)
    return Errors(
        errors.scatter + gain * (found - errors.scatter),
        errors.persistence + memory * (standard - errors.persistence),
        errors.sales + gain * (expected - errors.sales),
    )


def estimate_noise(
    errors: Errors, group: Whole, dispersion: Floats, relative_noise: float, usual: float
) -> tuple[Floats, float]:
    """φ of each group, whose prior is `usual`, and κ of all products, from the present values of both.

    The scatter of a product that sells m an epoch is φ + κ·m on average: weighted least squares, one step of κ and then
    of φ (Gauss-Seidel), so that repeated estimates approach the joint solution.
    """
    groups, before = len(dispersion), dispersion[group]
    noise = before + relative_noise * errors.sales
    weight = 1.0 / (_SCATTER_VARIANCE * noise * noise)
    excess = float((weight * errors.sales * (errors.scatter - before)).sum())
    precision = float((weight * errors.sales * errors.sales).sum()) + _RELATIVE_PRECISION
    relative = min(max(excess / precision, 0.0), MOST_RELATIVE_NOISE)
    share = (before / noise) ** 2
    count = np.bincount(group, weights=share, minlength=groups)
    total = np.bincount(group, weights=share * (errors.scatter - relative * errors.sales), minlength=groups)
    return np.clip((total + _PRIOR_PRODUCTS * usual) / (count + _PRIOR_PRODUCTS), *DISPERSIONS), relative


def estimate_walk(walk: Floats, errors: Errors) -> Floats:
    """Variance that the log conversion rate gains each week, from the errors of all products of the policy.

    Without correlation, the running mean of errors has the variance g / (2 - g). The drift rises or falls until it has.
    """
    expected = PERSISTENCE_GAIN / (2.0 - PERSISTENCE_GAIN)
    squares = np.minimum(errors.persistence**2 / expected, _LARGEST_ERROR**2)
    products = np.count_nonzero(errors.persistence)
    excess = (squares.sum() - products) / (products + _WALK_PRODUCTS)
    changed: Floats = np.clip(walk * np.exp(np.clip(excess, -_LARGEST_STEP, _LARGEST_STEP)), *WALKS)
    return changed
