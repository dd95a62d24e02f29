"""Elasticities of a panel: least squares per cell, shrunk towards the category, which is shrunk towards all categories.

The demand curve is that of the demand filter: log units = a + b·(price / reference - 1), where the reference is the
mean price of the cell.

If the level of a category's demand drifts, least squares has an effect for each category and period as well, which
removes demand shocks that its cells share. Otherwise a regression of one drifting series on another is spurious
(Granger and Newbold 1974).
"""

from typing import Final, Self

import numpy as np
from attrs import field, frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole, sums
from scalecommerce_core.pricing.evaluation.effects import remove_effects
from scalecommerce_core.pricing.evaluation.panel import Panel, distinct_pairs
from scalecommerce_core.pricing.shrinkage import ROOT_MEAN, ROOT_VARIANCE, VARIANCES

_NO_VARIATION = 1e-9
DRIFTING: Final = 0.5
"""Autocorrelation of a category's mean errors above which its demand counts as drifting."""
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
    error: Floats = field(repr=False)
    """Standard error of `alone`; infinite where the price never changed."""
    group_mean: Floats = field(repr=False)
    """Mean elasticity, one element per group."""
    pooled: float
    """Elasticity by least squares on all rows, the same for all cells; 0 if no price changed."""
    autocorrelation: float
    """Correlation of the mean errors of a category in successive periods, without effects of periods."""
    dispersion: float
    """Variance of units divided by their expectation: the median of the cells; 1 for a Poisson distribution."""

    @property
    def drifts(self) -> bool:
        """Whether effects of category and period were removed."""
        return self.autocorrelation > DRIFTING

    @classmethod
    def of(cls, panel: Panel) -> Self:
        cell, group, cells = panel.cell, panel.group, panel.cells
        groups = int(group.max(initial=-1)) + 1
        count = sums(cell, np.ones(len(panel)), cells)
        known = count > 0
        full = np.maximum(count, 1.0)
        reference = np.where(known, sums(cell, panel.price, cells) / full, 1.0)
        log_units = np.log(panel.units)
        level = sums(cell, log_units, cells) / full
        dx = panel.price / reference[cell] - 1.0
        dy = log_units - level[cell]
        shared_by = group[cell] if shares_periods(group[cell], panel.period) else np.zeros_like(cell)
        autocorrelation = _autocorrelation(panel, dx, dy, shared_by)
        if autocorrelation > DRIFTING:
            _, in_period = distinct_pairs(shared_by, panel.period)
            dx, dy = (remove_effects(each, [cell, in_period]) for each in (dx, dy))
        sxx, sxy = sums(cell, dx * dx, cells), sums(cell, dx * dy, cells)
        alone = np.where(sxx > _NO_VARIATION, sxy / np.maximum(sxx, _NO_VARIATION), 0.0)

        pooled = sums(group, sxy, groups) / np.maximum(sums(group, sxx, groups), _NO_VARIATION)
        errors = dy - pooled[group[cell]] * dx
        by_chance = _clustered_variance(panel, dx, errors, sums(group, sxx, groups))
        mean = _shrink_groups(pooled, by_chance)

        noise = float((errors**2).sum()) / max(len(panel) - int(known.sum()) - groups, 1)
        information = sxx / max(noise, 1e-12)
        informed = information > _LEAST_INFORMATION
        spread = _spread(alone, mean, group, information, informed)
        prior = 1.0 / spread[group]
        shrunk = (information * alone + prior * mean[group]) / (information + prior)
        with np.errstate(divide="ignore"):
            error = np.where(informed, 1.0 / np.sqrt(information), np.inf)
        return cls(
            known, reference, level, alone, shrunk, informed, error, mean,
            float(sxy.sum() / max(float(sxx.sum()), _NO_VARIATION)), autocorrelation,
            _dispersion(panel, level[cell] + dy - errors, count),
        )  # fmt: skip

    def predict_log_units(self, panel: Panel, slope: Floats) -> Floats:
        """Predict log units of each row of `panel`, with these elasticities per cell."""
        x = panel.price / self.reference[panel.cell] - 1.0
        forecast: Floats = self.level[panel.cell] + slope[panel.cell] * x
        return forecast


def shares_periods(group: Whole, period: Whole) -> bool:
    """Whether at least half of the rows have another row of the same group and period."""
    _, at = distinct_pairs(group, period)
    return len(at) > 0 and float((np.bincount(at)[at] > 1).mean()) >= 0.5


def _autocorrelation(panel: Panel, dx: Floats, dy: Floats, group: Whole) -> float:
    """Correlation of the mean errors of successive periods of a group, pooled over the groups; 0 without errors.

    `group` has an element per row. Means of few cells are noisy and lower the correlation, so only means of at least
    half of the usual number count.
    """
    groups = int(group.max(initial=-1)) + 1
    slope = sums(group, dx * dy, groups) / np.maximum(sums(group, dx * dx, groups), _NO_VARIATION)
    rows, at = distinct_pairs(group, panel.period)
    count = np.bincount(at, minlength=len(rows))
    mean = sums(at, dy - slope[group] * dx, len(rows)) / np.maximum(count, 1)
    group_of = group[rows]
    usual = np.bincount(group, minlength=groups) / np.maximum(np.bincount(group_of, minlength=groups), 1)
    kept = (count > 1) & (count >= usual[group_of] / 2)
    mean, group_of = mean[kept], group_of[kept]
    if len(mean) < 3:
        return 0.0
    mean = remove_effects(mean, [group_of])
    successive = group_of[1:] == group_of[:-1]
    total = float(mean @ mean)
    return float((mean[1:] * mean[:-1])[successive].sum()) / total if total > _NO_VARIATION else 0.0


def _dispersion(panel: Panel, fitted: Floats, count: Floats) -> float:
    """Median over cells of the Pearson statistic of their rows, with as many fitted values as the cells' mean sales."""
    expected = np.exp(np.clip(fitted, -30.0, 30.0))
    scale = sums(panel.cell, panel.units, panel.cells) / np.maximum(sums(panel.cell, expected, panel.cells), 1e-30)
    expected = np.maximum(expected * scale[panel.cell], 1e-12)
    statistic = sums(panel.cell, (panel.units - expected) ** 2 / expected, panel.cells) / np.maximum(count - 2.0, 1.0)
    return float(np.median(statistic[count > 2])) if (count > 2).any() else 1.0


def _clustered_variance(panel: Panel, dx: Floats, errors: Floats, sxx: Floats) -> Floats:
    """Cluster-robust variance of the groups' pooled slopes, with one cluster per group and period.

    Rows of one group and period share demand shocks: a hundred shops with the same price in the same week count as one
    observation.
    """
    groups, group = len(sxx), panel.group[panel.cell]
    rows, cluster = distinct_pairs(group, panel.period)
    scores = sums(cluster, dx * errors, len(rows))
    clusters = np.bincount(group[rows], minlength=groups)
    few = clusters / np.maximum(clusters - 2.0, 0.1)
    variance = few * sums(group[rows], scores**2, groups) / np.maximum(sxx, _NO_VARIATION) ** 2
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
    scatter = sums(group, weight * ((alone - mean[group]) ** 2 - chance), groups)
    return np.clip(scatter / np.maximum(sums(group, weight, groups), 1e-9), *VARIANCES)
