"""Evaluation report: how well prices predict held-back sales, and whether elasticities may be estimated from the data.

Only the demand model is evaluated, on later periods. Strategies are not evaluated by replaying sales at prices that
were not charged, because the sales at those prices are unknown.
"""

from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.evaluation.elasticities import Elasticities
from scalecommerce_core.pricing.evaluation.panel import Panel, SalesLines, distinct_pairs

LEAST_ROWS: Final = 100
LEAST_PERIODS: Final = 10
FLAT: Final = 0.02
"""A cell has a flat price if its standard deviation divided by its mean is less than this."""
MOST_FLAT: Final = 0.8
"""Largest permitted share of cells with a flat price."""
MOST_MIXED: Final = 0.05
"""Largest permitted share of cells' days with several prices, among those with several sales, if prices fall with the
quantity (quantity discounts)."""
SURE: Final = 3.0
"""Standard errors from 0 at which the slope of price on quantity counts as significant."""
_SPARSE_RATIO: Final = 50
"""Largest usual ratio of all periods to periods with rows; a larger ratio suggests that periods are neither days nor
weeks."""


@frozen
class Errors:
    """Errors on held-back rows.

    `log_rmse` is the root mean square error of log units; `wape`, the weighted absolute percentage error, is the sum of
    absolute errors in units divided by the sum of units.
    """

    log_rmse: float
    wape: float


@frozen
class Forecast:
    """Errors of three models, trained on earlier and tested on later periods.

    `without_price` uses no elasticity, `alone` the elasticity of each cell, `shrunk` those shrunk to categories.
    """

    train_periods: int
    test_rows: int
    without_price: Errors
    alone: Errors
    shrunk: Errors


@frozen
class EvaluationReport:
    rows: int
    cells: int
    groups: int
    periods: int
    """Periods that have rows."""
    span: int
    """Periods from the first to the last, including those without rows."""
    elasticity_median: float | None
    """None, like the next two, if prices hardly changed: the estimate would only repeat the prior."""
    elasticity_quartiles: tuple[float, float] | None
    negative_share: float | None
    flat_share: float
    """Share of cells with a flat price."""
    mixed_share: float
    """Share of cells' days with several prices, among those with several sales."""
    quantity_slope: float
    """Slope of log price on log units among sales of the same cell and day."""
    forecast: Forecast | None
    cold_start: Forecast | None
    objections: tuple[str, ...]
    """Reasons not to estimate elasticities from the data; empty if there are none."""

    @property
    def supports_learning(self) -> bool:
        return not self.objections

    @property
    def advice(self) -> str:
        """A warning if periods are far apart, else empty."""
        if self.span <= _SPARSE_RATIO * max(self.periods, 1):
            return ""
        return (
            f"The periods are far apart: only {self.periods:,} of {self.span:,} have sales. If they are seconds, use"
            " --bucket 86400 for days or --bucket 604800 for weeks."
        )

    @property
    def verdict(self) -> str:
        if self.supports_learning:
            return "These data are suitable: the elasticities are plausible and predict later sales."
        return f"These data are not suitable for estimating elasticities: {' '.join(self.objections)}"


def evaluate_panel(
    lines: SalesLines, *, periods_in_one: int = 1, held_back: float = 0.2, cold_periods: int = 8
) -> EvaluationReport:
    """Evaluate sales: train on the first periods, test on the last ones (`held_back` is their share).

    `lines.period` has the finest available resolution, days for order lines; the model combines `periods_in_one` of
    them into one period. `cold_periods` is the number of training periods of the second test.
    """
    panel = Panel.of(lines, periods_in_one=periods_in_one)
    span = int(panel.period.max(initial=-1)) + 1
    periods = len(np.unique(panel.period))
    flat = _flat_share(panel)
    mixed, slope, t = _quantity_discounts(lines)
    end = int((1.0 - held_back) * span)
    enough = len(panel) >= LEAST_ROWS and periods >= LEAST_PERIODS
    forecast = _forecast(panel, 0, end) if enough else None
    cold = _forecast(panel, end - cold_periods, end) if enough and end > cold_periods else None
    trained = Elasticities.of(panel.rows(panel.period < end) if enough else panel)
    # Cells whose price never changed have the elasticity of their category.
    slopes = trained.shrunk[trained.known]
    found = flat <= MOST_FLAT and bool((trained.informed & trained.known).any())
    negative = float((slopes < 0).mean()) if found else None

    objections = []
    if not enough:
        objections.append(
            f"There are {len(panel)} rows in {periods} periods; at least {LEAST_ROWS} in {LEAST_PERIODS} are needed."
        )
    if mixed > MOST_MIXED and slope < 0 and t < -SURE:
        objections.append(
            f"Prices depend on the quantity bought: {mixed:.0%} of a product's days with several sales have several"
            " prices, and larger orders pay less. Such a price is an effect of demand, not its cause."
        )
    if flat > MOST_FLAT:
        objections.append(
            f"The prices of {flat:.0%} of the cells hardly change, so the effect of other prices is unknown."
        )
    if enough and negative is not None and negative < 0.9:
        objections.append(
            f"Only {negative:.0%} of the elasticities are negative: something else changes together with prices."
        )
    if forecast is not None and forecast.shrunk.log_rmse >= forecast.without_price.log_rmse and flat <= MOST_FLAT:
        objections.append("Prices do not improve predictions of later sales.")
    if enough and not found and flat <= MOST_FLAT:
        objections.append(
            "Prices vary too little compared with sales: no elasticity can be distinguished from random variation."
        )
    low, median, high = np.percentile(slopes, [25, 50, 75]).tolist() if found else [0.0] * 3
    return EvaluationReport(
        rows=len(panel), cells=int(trained.known.sum()), groups=len(trained.group_mean), periods=periods, span=span,
        elasticity_median=median if found else None, elasticity_quartiles=(low, high) if found else None,
        negative_share=negative,
        flat_share=flat, mixed_share=mixed, quantity_slope=slope, forecast=forecast, cold_start=cold,
        objections=tuple(objections),
    )  # fmt: skip


def _forecast(panel: Panel, begin: int, end: int) -> Forecast | None:
    """Train on periods [begin, end), test on periods from `end` on; only cells with training rows are tested."""
    fit = Elasticities.of(panel.rows((panel.period >= begin) & (panel.period < end)))
    test = panel.rows((panel.period >= end) & fit.known[panel.cell])
    if not len(test) or not fit.known.any():
        return None
    return Forecast(
        train_periods=end - begin,
        test_rows=len(test),
        without_price=_errors(fit.predict_log_units(test, np.zeros_like(fit.alone)), test),
        alone=_errors(fit.predict_log_units(test, fit.alone), test),
        shrunk=_errors(fit.predict_log_units(test, fit.shrunk), test),
    )


def _errors(predicted: Floats, test: Panel) -> Errors:
    misses = predicted - np.log(test.units)
    with np.errstate(over="ignore"):
        wape = float(np.abs(np.exp(predicted) - test.units).sum() / test.units.sum())
    return Errors(float(np.sqrt(np.mean(misses**2))), wape)


def _flat_share(panel: Panel) -> float:
    count = np.maximum(np.bincount(panel.cell, minlength=panel.cells), 1)
    mean = np.bincount(panel.cell, weights=panel.price, minlength=panel.cells) / count
    around = np.bincount(panel.cell, weights=(panel.price - mean[panel.cell]) ** 2, minlength=panel.cells)
    seen = mean > 0
    return float((np.sqrt(around / count)[seen] < FLAT * mean[seen]).mean()) if seen.any() else 1.0


def _quantity_discounts(lines: SalesLines) -> tuple[float, float, float]:
    """Detect quantity discounts among the sales of the same cell and day.

    Return the share of cells' days with several prices among those with several sales, the slope of log price on log
    units within these days, and the slope divided by its standard error.
    """
    sold = (lines.units > 0) & (lines.price > 0)
    keys, at = distinct_pairs(lines.cell[sold], lines.days()[sold])
    count = np.bincount(at, minlength=len(keys))
    several = count > 1
    if not several.any():
        return 0.0, 0.0, 0.0

    def within(values: Floats) -> Floats:
        centred: Floats = values - (np.bincount(at, weights=values) / count)[at]
        return centred

    log_price, log_units = within(np.log(lines.price[sold])), within(np.log(lines.units[sold]))
    varies = np.bincount(at, weights=np.abs(log_price)) > 1e-9
    mixed = float((varies & several).sum() / several.sum())
    sxx = float(log_units @ log_units)
    if sxx <= 0:
        return mixed, 0.0, 0.0
    slope = float(log_units @ log_price) / sxx
    errors = log_price - slope * log_units
    deviation = float(np.sqrt(max(float((log_units**2) @ (errors**2)), 1e-30))) / sxx
    return mixed, slope, slope / deviation
