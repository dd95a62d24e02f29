"""The report on a panel: how well prices explain sales that were held back, and whether to learn from it at all.

Policies are never scored by replaying logged sales at prices that were not charged: nobody knows what those would have
sold. What can be scored is the demand model, on later periods.
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
"""A cell whose prices vary less than this (standard deviation over mean) has a flat price."""
MOST_FLAT: Final = 0.8
"""Of the cells: with more, prices are too flat to learn from."""
MOST_MIXED: Final = 0.05
"""Of cells and days that have several sales: with more at several prices that fall with quantity, it is a discount."""
SURE: Final = 3.0
_SPARSE_RATIO: Final = 50
"""Periods in the span per period in use; more of them suggest that periods are neither days nor weeks."""


@frozen
class Errors:
    """On held-back rows: root mean square of log errors, and weighted absolute percentage error of units."""

    log_rmse: float
    wape: float


@frozen
class Forecast:
    """Trained on some periods, tested on the last ones: without prices, cell by cell, and shrunk."""

    train_periods: int
    test_rows: int
    without_price: Errors
    alone: Errors
    shrunk: Errors


@frozen
class Report:
    rows: int
    cells: int
    groups: int
    periods: int
    """Periods that have rows."""
    span: int
    """Periods from the first to the last, those without rows included."""
    elasticity_median: float | None
    """None, as the next two, when prices hardly moved: the estimate would only repeat the prior."""
    elasticity_quartiles: tuple[float, float] | None
    negative_share: float | None
    flat_share: float
    """Of the cells: their price hardly moves."""
    mixed_share: float
    """Of the cells' days with several sales: those with several prices."""
    quantity_slope: float
    """How the price falls with the quantity of a sale, of one cell on one day, in logs."""
    forecast: Forecast | None
    cold_start: Forecast | None
    objections: tuple[str, ...]
    """Why nothing should learn from this; none: it may."""

    @property
    def supports_learning(self) -> bool:
        return not self.objections

    @property
    def advice(self) -> str:
        """A warning about periods that are far apart; empty if they are not."""
        if self.span <= _SPARSE_RATIO * max(self.periods, 1):
            return ""
        return (
            f"The periods are far apart: {self.periods:,} of {self.span:,} are in use. If they are seconds, use"
            " --bucket 86400 for days or --bucket 604800 for weeks, so that they are periods of sales."
        )

    @property
    def verdict(self) -> str:
        if self.supports_learning:
            return "These data can teach prices: the elasticities are plausible and foretell later sales."
        return f"These data cannot teach prices: {' '.join(self.objections)}"


def evaluate_panel(
    lines: SalesLines, *, periods_in_one: int = 1, held_back: float = 0.2, cold_periods: int = 8
) -> Report:
    """Evaluate a panel: train on the first periods, test on the last `held_back` of them.

    `lines.period` numbers the finest periods that are known, days for order lines; `periods_in_one` of them are one
    period of the model.
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
    # A cell whose price never moved brings its category's elasticity, not one of its own.
    slopes = trained.shrunk[trained.known]
    found = flat <= MOST_FLAT and bool((trained.informed & trained.known).any())
    negative = float((slopes < 0).mean()) if found else None

    objections = []
    if not enough:
        objections.append(
            f"There are {len(panel)} rows in {periods} periods; {LEAST_ROWS} in {LEAST_PERIODS} are the least."
        )
    if mixed > MOST_MIXED and slope < 0 and t < -SURE:
        objections.append(
            f"Prices depend on the quantity bought: on {mixed:.0%} of a product's days with several sales there are"
            f" several prices, and large orders pay less. Such a price is an effect of demand, not its cause."
        )
    if flat > MOST_FLAT:
        objections.append(f"The prices of {flat:.0%} of the cells hardly move: nothing says what another would do.")
    if enough and negative is not None and negative < 0.9:
        objections.append(f"Only {negative:.0%} of the elasticities are negative: something else moves with prices.")
    if forecast is not None and forecast.shrunk.log_rmse >= forecast.without_price.log_rmse and flat <= MOST_FLAT:
        objections.append("Knowing the price does not help to foretell later sales.")
    if enough and not found and flat <= MOST_FLAT:
        objections.append("Prices vary too little compared with sales: no elasticity can be distinguished from chance.")
    low, median, high = np.percentile(slopes, [25, 50, 75]).tolist() if found else [0.0] * 3
    return Report(
        rows=len(panel), cells=int(trained.known.sum()), groups=len(trained.group_mean), periods=periods, span=span,
        elasticity_median=median if found else None, elasticity_quartiles=(low, high) if found else None,
        negative_share=negative,
        flat_share=flat, mixed_share=mixed, quantity_slope=slope, forecast=forecast, cold_start=cold,
        objections=tuple(objections),
    )  # fmt: skip


def _forecast(panel: Panel, begin: int, end: int) -> Forecast | None:
    """Trained on periods [begin, end), tested on all from `end` on, on cells that the training has."""
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
    """Share of cells' periods with several lines that have several prices; slope of log price on log units within
    them, and how many standard errors it is from 0.
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
