"""Changes of demand that the products of a category share: seasons, fashions, advertising, a competitor's sale.

Prices of a category tend to change together, at first by chance and then because all of them follow the same estimates.
A filter that considers each product alone attributes a part of a common change of demand to the prices, and the same
part for every product, so that shrinkage confirms the error. The change of each category between two calls of `pool`
is therefore estimated from all of its products as the bias of a Kalman filter (Friedland 1969): each product keeps the
derivatives of its estimates with respect to the change, by which `pool` corrects them.

Forecasts at prices far from a product's earlier prices contain the error of the demand curve. Products whose prices
move in one direction share this error, which is no change of demand, so their information about it decreases with
the distance.
"""

from typing import Final, NamedTuple

import numpy as np

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.demand_filter import Belief, Forecast, observe_derivatives

_CATEGORY_VARIANCE: Final = 0.005
"""Variance that the log demand of a category gains each week, around that of all categories."""
_SELLER_VARIANCE: Final = 0.0025
"""Variance that the mean log demand of all categories of the policy gains each week."""
_LEAST_VARIANCE: Final = 1e-9
_FAR: Final = 0.05
"""Distance from a product's earlier prices at which its errors have half of their weight."""


class CommonChange(NamedTuple):
    """What a product tells about the change of its category since the last call of `pool`."""

    common_a: Floats
    common_b: Floats
    """Derivatives of the estimates a and b with respect to the change."""
    common_score: Floats
    """Sum of forecast errors times their derivatives, divided by their variances."""
    common_information: Floats
    """Sum of squared derivatives divided by the variances."""
    common_weeks: Floats
    """Time since then, in weeks."""

    @classmethod
    def of_new(cls, size: int) -> "CommonChange":
        """That of new products, whose first estimates do not precede the change."""
        return cls(*(np.zeros(size) for _ in cls._fields))

    @classmethod
    def beginning(cls, size: int) -> "CommonChange":
        """A change that the estimates of all products precede."""
        return cls.of_new(size)._replace(common_a=np.ones(size))


def observe_change(
    change: CommonChange, before: Belief, forecast: Forecast, *, x: Floats, weeks: Floats, is_new: Flags
) -> CommonChange:
    """Add the forecast of an epoch of so many `weeks`, which was computed from the belief `before`.

    Errors of new products (`is_new`) concern the assumed conversion rate of their category.
    """
    # At the distance -C01 / C11, the centre of earlier prices, the level does not depend on the elasticity.
    apart = (x + before.c01 / np.maximum(before.c11, _LEAST_VARIANCE)) / _FAR
    derivative = change.common_a + x * change.common_b
    a, b = observe_derivatives(before, forecast, x=x, a=change.common_a, b=change.common_b, derivative=derivative)
    told = np.where(is_new, 0.0, derivative * forecast.precision / (1.0 + apart * apart))
    return CommonChange(
        a,
        b,
        change.common_score + told * forecast.error,
        change.common_information + told * derivative,
        change.common_weeks + weeks,
    )


def estimate_changes(change: CommonChange, group: Whole, groups: int) -> Floats:
    """The change of each group: posterior means, normal around the mean of all groups, and that normal around 0."""
    weeks = float(change.common_weeks.max(initial=0.0))
    category, seller = _CATEGORY_VARIANCE * weeks, _SELLER_VARIANCE * weeks
    information = np.bincount(group, weights=change.common_information, minlength=groups)
    score = np.bincount(group, weights=change.common_score, minlength=groups)
    marginal = 1.0 + information * category
    shared = seller * float((score / marginal).sum()) / (1.0 + seller * float((information / marginal).sum()))
    changes: Floats = (category * score + shared) / marginal
    return changes


def include_change(belief: Belief, change: CommonChange, estimate: Floats) -> Belief:
    """The belief as if the change of each product's category, `estimate`, had been known when it happened."""
    return belief._replace(a=belief.a + estimate * change.common_a, b=belief.b + estimate * change.common_b)
