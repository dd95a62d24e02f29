"""Elasticities of a panel: least squares per cell, shrunk towards the category, which is shrunk towards all categories.

The demand curve is that of the demand filter: log units = a + b·(price / reference - 1), where the reference is the
mean price of the cell.
"""

from typing import Self

import numpy as np
from attrs import field, frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole
from scalecommerce_core.pricing.evaluation.panel import Panel, distinct_pairs
from scalecommerce_core.pricing.shrinkage import ROOT_MEAN, ROOT_VARIANCE, VARIANCES

_NO_VARIATION = 1e-9
_LEAST_INFORMATION = 0.05
"""Least information of a cell (1 / variance of its own elasticity); with less, the category's elasticity is used."""


@frozen(eq=False)
class Elasticities:
    """Arrays with an element per cell. `known` marks cells that have rows in the training panel; only these have
    predictions.
    """

    known: Flags
    reference: Floats
    level: Floats
    """Mean log units at the reference."""
    alone: Floats
    """Elasticity by least squares on the cell's own rows; 0 if its price never changed."""
    shrunk: Floats
    informed: Flags
    """Cells whose own rows carry at least `_LEAST_INFORMATION` about their elasticity."""
    group_mean: Floats = field(repr=False)
    """Mean elasticity, one element per group."""

    @classmethod
    def of(cls, panel: Panel) -> Self:
        cell, group, cells = panel.cell, panel.group, panel.cells
        groups = int(group.max(initial=-1)) + 1
        count = _sums(cell, np.ones(len(panel)), cells)
        known = count > 0
        full = np.maximum(count, 1.0)
        reference = np.where(known, _sums(cell, panel.price, cells) / full, 1.0)
        log_units = np.log(panel.units)
        level = _sums(cell, log_units, cells) / full
        dx = panel.price / reference[cell] - 1.0
        dy = log_units - level[cell]
        sxx, sxy = _sums(cell, dx * dx, cells), _sums(cell, dx * dy, cells)
        alone = np.where(sxx > _NO_VARIATION, sxy / np.maximum(sxx, _NO_VARIATION), 0.0)

        pooled = _sums(group, sxy, groups) / np.maximum(_sums(group, sxx, groups), _NO_VARIATION)
        errors = dy - pooled[group[cell]] * dx
        by_chance = _clustered_variance(panel, dx, errors, _sums(group, sxx, groups))
        mean = _shrink_groups(pooled, by_chance)

        noise = float((errors**2).sum()) / max(len(panel) - int(known.sum()) - groups, 1)
        information = sxx / max(noise, 1e-12)
        informed = information > _LEAST_INFORMATION
        spread = _spread(alone, mean, group, information, informed)
        prior = 1.0 / spread[group]
        shrunk = (information * alone + prior * mean[group]) / (information + prior)
        return cls(known, reference, level, alone, shrunk, informed, mean)

    def predict_log_units(self, panel: Panel, slope: Floats) -> Floats:
        """Predict log units of each row of `panel`, with these elasticities per cell."""
        x = panel.price / self.reference[panel.cell] - 1.0
        forecast: Floats = self.level[panel.cell] + slope[panel.cell] * x
        return forecast


def _sums(at: Whole, values: Floats, size: int) -> Floats:
    return np.bincount(at, weights=values, minlength=size).astype(np.float64)


def _clustered_variance(panel: Panel, dx: Floats, errors: Floats, sxx: Floats) -> Floats:
    """Cluster-robust variance of the groups' pooled slopes, with one cluster per group and period.

    Rows of one group and period share demand shocks: a hundred shops with the same price in the same week count as one
    observation.
    """
    groups, group = len(sxx), panel.group[panel.cell]
    rows, cluster = distinct_pairs(group, panel.period)
    scores = _sums(cluster, dx * errors, len(rows))
    clusters = np.bincount(group[rows], minlength=groups)
    few = clusters / np.maximum(clusters - 2.0, 0.1)
    variance = few * _sums(group[rows], scores**2, groups) / np.maximum(sxx, _NO_VARIATION) ** 2
    return np.where((sxx > _NO_VARIATION) & (clusters > 2), np.maximum(variance, 1e-4), 1e9)


def _shrink_groups(pooled: Floats, by_chance: Floats) -> Floats:
    """Shrink the slopes of the groups towards the mean of all groups, which is shrunk towards `ROOT_MEAN`."""
    spread, mean = ROOT_VARIANCE, ROOT_MEAN
    for _ in range(20):
        weight = 1.0 / (by_chance + spread)
        mean = float((weight @ pooled + ROOT_MEAN / ROOT_VARIANCE) / (weight.sum() + 1.0 / ROOT_VARIANCE))
        moment = (weight**2) @ ((pooled - mean) ** 2 - by_chance) / max(float((weight**2).sum()), 1e-12)
        spread = float(np.clip(moment, *VARIANCES))
    shrunk: Floats = (pooled / by_chance + mean / spread) / (1.0 / by_chance + 1.0 / spread)
    return shrunk


def _spread(alone: Floats, mean: Floats, group: Whole, information: Floats, informed: Flags) -> Floats:
    """Variance of the cells' elasticities within each group, by the method of moments."""
    groups = len(mean)
    chance = np.where(informed, 1.0 / np.maximum(information, _LEAST_INFORMATION), 0.0)
    weight = np.where(informed, 1.0 / (chance + 0.3), 0.0)
    scatter = _sums(group, weight * ((alone - mean[group]) ** 2 - chance), groups)
    return np.clip(scatter / np.maximum(_sums(group, weight, groups), 1e-9), *VARIANCES)
