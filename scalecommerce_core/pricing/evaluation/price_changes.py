"""Why prices changed: tests of whether prices follow demand (reverse causality).

A regression of sales on prices measures the effect of prices only if prices did not change for reasons that also
change sales. Three kinds of such reasons can be seen in a panel:

- All prices are lowered in busy periods. Prices and demand shocks are then shared by the products of a category, or by
  all products. The elasticity among price changes that products of the same category and period share differs from that
  of their own changes, which no shared shock can affect (a test of random against fixed effects: Hausman 1978).
- Products are cut after they were busy. Later prices then "predict" earlier sales (a test of strict exogeneity by
  leads: Sims 1972).
- Products are cut while they are busy. Price cuts of a single period then sell more than lasting ones, so sales depend
  on the difference from the next price.

Prices of single products that always follow their own demand at once, and never change for another reason, cannot be
told from a high elasticity. Only an implausible value shows them.
"""

from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.evaluation.effects import UNKNOWN_SLOPE, Slope, fit_slopes, remove_effects
from scalecommerce_core.pricing.evaluation.panel import Panel, distinct_pairs, inner_rows

BLOCK: Final = 26
"""Rows of a cell within which the level of its demand counts as constant; slower changes are removed."""
LEAST_ROWS: Final = 60
"""Rows with a previous and a next row; with fewer, price changes are not tested."""
_LEAST_TOGETHER: Final = 0.5
"""Least share of rows with another row of the same period."""


@frozen
class SharedChanges:
    """Price changes that all products, or those of a category, share in a period, compared with their other ones.

    Slopes are totals over a period and the next one: purchases that customers bring forward to a discount cancel.
    """

    share: float
    """Share of the variance of prices that is shared."""
    shared: Slope
    own: Slope

    @property
    def excess(self) -> Slope:
        """The slope of shared changes less that of own changes."""
        return Slope(self.shared.value - self.own.value, float(np.hypot(self.shared.error, self.own.error)))

    @property
    def unconfirmed(self) -> float:
        """Share of the effect of shared changes that own changes do not confirm; 0 if these have a larger effect."""
        return max(self.excess.value / self.shared.value, 0.0) if self.shared.value < 0 else 0.0


@frozen
class PriceChanges:
    """`None` and unknown slopes mean that the panel has too few rows, or too few in the same period."""

    in_category: SharedChanges | None
    in_all: SharedChanges | None
    present: Slope
    """Effect of the present price, with the previous and the next price held constant."""
    following: Slope
    """Effect of the next price: 0 unless prices follow sales, or sales differ between single and lasting changes."""
    lasting: Slope
    """Effect of a price that stays the same: the sum of the effects of the previous, the present and the next price."""


def study_price_changes(panel: Panel, *, drifts: bool = False) -> PriceChanges:
    """Test the panel. If demand `drifts`, shared changes are compared by differences between successive rows: levels of
    two drifting series seem related by chance (Granger and Newbold 1974).
    """
    rows = inner_rows(panel)
    previous, following = rows - 1, rows + 1
    if len(rows) < LEAST_ROWS:
        return PriceChanges(None, None, UNKNOWN_SLOPE, UNKNOWN_SLOPE, UNKNOWN_SLOPE)
    cell, period = panel.cell[rows], panel.period[rows]
    count = np.maximum(np.bincount(panel.cell, minlength=panel.cells), 1)
    mean = np.bincount(panel.cell, weights=panel.price, minlength=panel.cells) / count
    x = panel.price[rows] / mean[cell] - 1.0
    change_before = panel.price[previous] / mean[cell] - 1.0 - x
    change_after = panel.price[following] / mean[cell] - 1.0 - x
    y = np.log(panel.units[rows])
    _, block = distinct_pairs(cell, _row_number(cell) // BLOCK)
    _, in_period = np.unique(period, return_inverse=True)
    _, in_category = distinct_pairs(panel.group[cell], period)
    sales, columns = y, np.column_stack([x, change_before])
    if drifts:
        sales, columns = y - np.log(panel.units[previous]), -change_before[:, None]
    by_all = _compare(columns, sales, block, in_period, cell)
    several = len(np.unique(panel.group)) > 1
    by_category = _compare(columns, sales, block, in_category, cell) if several else None
    effects = [block, in_category] if by_category else [block, in_period] if by_all else [block]
    leads = np.column_stack([remove_effects(each, effects) for each in (x, change_before, change_after)])
    slopes = fit_slopes(leads, remove_effects(y, effects), [cell])
    # x, previous - x and next - x as regressors: the sum of their coefficients is that of the present price alone.
    present = Slope(slopes[0].value - slopes[1].value - slopes[2].value, slopes[0].error)
    return PriceChanges(by_category, by_all, present, slopes[2], slopes[0])


def _compare(columns: Floats, y: Floats, block: Whole, shared_by: Whole, cell: Whole) -> SharedChanges | None:
    if float((np.bincount(shared_by)[shared_by] > 1).mean()) < _LEAST_TOGETHER:
        return None
    in_block = np.column_stack([remove_effects(each, [block]) for each in (*columns.T, y)])
    own = np.column_stack([remove_effects(each, [block, shared_by]) for each in (*columns.T, y)])
    shared = in_block - own
    total = float(in_block[:, 0] @ in_block[:, 0])
    if total <= 0:
        return None
    return SharedChanges(
        share=float(shared[:, 0] @ shared[:, 0]) / total,
        shared=fit_slopes(shared[:, :-1], shared[:, -1], [shared_by])[0],
        own=fit_slopes(own[:, :-1], own[:, -1], [cell, shared_by])[0],
    )


def _row_number(cell: Whole) -> Whole:
    """The number of each row within its cell, from 0; `cell` is sorted."""
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    return np.arange(len(cell)) - np.repeat(first, np.diff(np.append(first, len(cell))))
