"""The observed and the fitted demand curve of a category or a cell, to be drawn."""

from math import exp
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats
from scalecommerce_core.pricing.evaluation.effects import remove_effects
from scalecommerce_core.pricing.evaluation.elasticities import Elasticities
from scalecommerce_core.pricing.evaluation.panel import Panel, distinct_pairs

POINTS: Final = 12
"""Largest number of observed points."""
_LEAST_ROWS: Final = 5
"""Least rows of a point."""


@frozen
class DemandPoint:
    """Rows of similar prices. `price` is relative to the usual price of each cell, `units` and `fitted` relative to its
    usual units: geometric means.
    """

    rows: int
    price: float
    units: float
    fitted: float


@frozen
class DemandCurve:
    """Units over price of the chosen cells, both relative to the usual ones."""

    elasticity: float
    points: tuple[DemandPoint, ...]
    """In the order of their prices."""

    def fitted(self, price: float) -> float:
        """Units at a relative price, relative to the usual units."""
        return exp(self.elasticity * (price - 1.0))


def median_group(panel: Panel, fit: Elasticities) -> int:
    """The group whose mean elasticity is the median one of all groups that have rows."""
    groups = np.unique(panel.group[panel.cell])
    order = groups[np.argsort(fit.group_mean[groups], kind="stable")]
    return int(order[(len(order) - 1) // 2])


def demand_curve(panel: Panel, fit: Elasticities, chosen: Flags) -> DemandCurve:
    """The curve of the chosen cells (one flag each). If demand drifts, effects of category and period are removed."""
    rows = np.flatnonzero(chosen[panel.cell] & fit.known[panel.cell])
    cell = panel.cell[rows]
    if not len(rows):
        return DemandCurve(0.0, ())
    slope = float(np.average(fit.shrunk[cell]))
    x = panel.price[rows] / fit.reference[cell] - 1.0
    y = np.log(panel.units[rows]) - fit.level[cell]
    if fit.drifts:
        shared = np.log(panel.units) - fit.level[panel.cell]
        _, at = distinct_pairs(panel.group[panel.cell], panel.period)
        by_price = fit.shrunk[panel.cell] * (panel.price / fit.reference[panel.cell] - 1.0)
        y = remove_effects(shared - by_price, [at])[rows] + by_price[rows]
    return DemandCurve(slope, tuple(_points(x, y, slope)))


def _points(x: Floats, y: Floats, slope: float) -> list[DemandPoint]:
    order = np.argsort(x, kind="stable")
    count = int(min(POINTS, max(len(x) // _LEAST_ROWS, 1)))
    found = []
    for part in np.array_split(order, count):
        price = float(np.mean(x[part]))
        found.append(DemandPoint(len(part), 1.0 + price, float(np.exp(np.mean(y[part]))), float(np.exp(slope * price))))
    return found
