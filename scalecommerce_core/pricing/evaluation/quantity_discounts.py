"""Quantity discounts: large orders pay less for a unit, so the mean price of a period is an effect of its sales.

There are five signs, and each of them suffices. Which ones can be seen depends on what the file has:

1. Lines of the same cell and day have several prices, and larger lines have lower ones.
2. With the number of orders: prices change the units of an order, not the number of orders.
3. Mean prices. Revenue is a whole number of cents and the price is not: the units were sold at several prices.
4. More is sold at prices that lie between two list prices (those that occur again) and never occur again, than at the
   list prices around them: a mean needs several orders, and its lower part a large one.
5. Mean prices vary less in cells that sell more, as means of many orders do; list prices do not.
"""

from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats
from scalecommerce_core.pricing.evaluation.effects import UNKNOWN_SLOPE, Slope, fit_slopes, remove_effects
from scalecommerce_core.pricing.evaluation.panel import Panel, SalesLines, distinct_pairs, inner_rows

LEAST_CELLS: Final = 10
"""Cells whose price varies; with fewer, the variation of prices is not compared with sales."""
_LEAST_ROWS: Final = 8
_SMALLEST: Final = 1e-4
"""Smallest relative price change."""
_EXACT: Final = 1e-6
"""Tolerance of whole numbers of cents, relative to a cent."""
_SUBDIVISIONS: Final = (1.0, 100.0, 1000.0)
"""Minor units of currencies: none, 100 or 1,000 to a unit."""


@frozen
class QuantityDiscounts:
    """The figures of the five signs, in their order."""

    mixed_share: float
    """Share of cells' days with several prices, among those with several sales."""
    line_slope: Slope
    """Slope of log price on log units among lines of the same cell and day."""
    order_size_share: float | None
    """Share of the effect of prices on units that is an effect on units per order; None without orders."""
    order_size: Slope
    """Slope of log units per order on log price."""
    mean_share: float
    """Share of rows whose price is a mean of several prices."""
    unit_slope: Slope
    """Slope of log price on log units, within cells."""
    between_share: float
    """Share of rows whose price occurs in no other row of the cell and lies between two prices that do."""
    between_units: Slope
    """Log units of these rows less those expected at their prices."""
    variation: Slope
    """Slope over cells of the log of the usual short-term price change on log units: 0 for list prices, -1/2 to -1 for
    means of orders."""
    repeated_share: float
    """Share of rows whose price occurs in another row of the cell."""


def study_quantity_discounts(lines: SalesLines, panel: Panel) -> QuantityDiscounts:
    """Measure the signs in recorded sales and in the panel that sums them up."""
    mixed, line_slope = _lines_of_a_day(lines)
    log_price, log_units = np.log(panel.price), np.log(panel.units)
    x, y = remove_effects(log_price, [panel.cell]), remove_effects(log_units, [panel.cell])
    share, size = _order_sizes(panel, x, y)
    repeated, between = _repeated(panel)
    return QuantityDiscounts(
        mixed_share=mixed,
        line_slope=line_slope,
        order_size_share=share,
        order_size=size,
        mean_share=_mean_share(panel),
        unit_slope=fit_slopes(y[:, None], x, [panel.cell])[0],
        between_share=float(between.mean()) if len(panel) else 0.0,
        between_units=_between_units(panel, x, y, between),
        variation=_variation(panel, x),
        repeated_share=float(repeated.mean()) if len(panel) else 0.0,
    )


def _lines_of_a_day(lines: SalesLines) -> tuple[float, Slope]:
    sold = (lines.units > 0) & (lines.price > 0)
    keys, at = distinct_pairs(lines.cell[sold], lines.days()[sold])
    count = np.bincount(at, minlength=len(keys))
    several = count > 1
    if not several.any():
        return 0.0, UNKNOWN_SLOPE
    log_price = remove_effects(np.log(lines.price[sold]), [at])
    log_units = remove_effects(np.log(lines.units[sold]), [at])
    varies = np.bincount(at, weights=np.abs(log_price)) > 1e-9
    return float((varies & several).sum() / several.sum()), fit_slopes(log_units[:, None], log_price, [at])[0]


def _order_sizes(panel: Panel, x: Floats, y: Floats) -> tuple[float | None, Slope]:
    if panel.orders is None:
        return None, UNKNOWN_SLOPE
    known = panel.orders > 0
    if not known.any():
        return None, UNKNOWN_SLOPE
    size = np.zeros_like(y)
    size[known] = np.log(panel.units[known] / panel.orders[known])
    cell = panel.cell[known]
    x, y, size = (remove_effects(each[known], [cell]) for each in (x, y, size))
    effect, of_size = fit_slopes(x[:, None], y, [cell])[0], fit_slopes(x[:, None], size, [cell])[0]
    return (of_size.value / effect.value if effect.value < 0 else None), of_size


def _mean_share(panel: Panel) -> float:
    """Share of rows whose revenue is a whole number of minor units although their price is not."""
    if not len(panel):
        return 0.0
    revenue = panel.price * panel.units
    for minor in _SUBDIVISIONS:
        whole_revenue = _is_whole(revenue * minor)
        # Fractions of a unit cannot be means of whole prices; by chance, revenue is rarely whole.
        if whole_revenue.mean() > 0.9:
            return float((whole_revenue & ~_is_whole(panel.price * minor)).mean())
    return 0.0


def _is_whole(values: Floats) -> Flags:
    whole: Flags = np.abs(values - np.round(values)) < np.maximum(_EXACT, 1e-12 * np.abs(values))
    return whole


def _variation(panel: Panel, x: Floats) -> Slope:
    cell = panel.cell
    inner = inner_rows(panel)
    if not len(inner):
        return UNKNOWN_SLOPE
    neighbours = np.stack([x[inner - 1], x[inner], x[inner + 1]])
    # The median removes list prices that last; what remains are prices of single periods.
    single = np.abs(x[inner] - np.median(neighbours, axis=0))
    inner, single = inner[single > _SMALLEST], single[single > _SMALLEST]
    rows = np.bincount(cell[inner], minlength=panel.cells)
    usual = np.bincount(cell[inner], weights=single, minlength=panel.cells) / np.maximum(rows, 1)
    count = np.bincount(cell, minlength=panel.cells)
    mean = np.bincount(cell, weights=panel.units, minlength=panel.cells) / np.maximum(count, 1)
    chosen = rows >= _LEAST_ROWS
    if chosen.sum() < LEAST_CELLS:
        return UNKNOWN_SLOPE
    one = np.zeros(int(chosen.sum()), dtype=np.int64)
    volume, change = remove_effects(np.log(mean[chosen]), [one]), remove_effects(np.log(usual[chosen]), [one])
    return fit_slopes(volume[:, None], change, [np.arange(len(volume))])[0]


def _repeated(panel: Panel) -> tuple[Flags, Flags]:
    """Rows whose price occurs again in the cell, and rows whose price does not but lies between two that do."""
    rows, at = distinct_pairs(panel.cell, np.round(panel.price * 1e6).astype(np.int64))
    repeated: Flags = np.bincount(at, minlength=len(rows))[at] > 1
    lowest, highest = np.full(panel.cells, np.inf), np.full(panel.cells, -np.inf)
    np.minimum.at(lowest, panel.cell[repeated], panel.price[repeated])
    np.maximum.at(highest, panel.cell[repeated], panel.price[repeated])
    between = ~repeated & (panel.price > lowest[panel.cell]) & (panel.price < highest[panel.cell])
    return repeated, between


def _between_units(panel: Panel, x: Floats, y: Floats, between: Flags) -> Slope:
    """The square of the price allows for demand curves of another form."""
    is_between, square = (remove_effects(each, [panel.cell]) for each in (between.astype(np.float64), x * x))
    return fit_slopes(np.column_stack([x, square, is_between]), y, [panel.cell])[2]
