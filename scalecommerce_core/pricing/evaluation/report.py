"""Evaluation report: how well prices predict held-back sales, and whether elasticities may be estimated from the data.

Only the demand model is evaluated, on later periods. Strategies are not evaluated by replaying sales at prices that
were not charged, because the sales at those prices are unknown.
"""

from typing import Final

import numpy as np
from attrs import evolve, field, frozen

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.evaluation.demand_curve import DemandCurve, demand_curve, median_group
from scalecommerce_core.pricing.evaluation.effects import UNKNOWN_SLOPE, Slope, remove_effects
from scalecommerce_core.pricing.evaluation.elasticities import Elasticities, shares_periods
from scalecommerce_core.pricing.evaluation.filter_forecast import MOST_PERIODS, Predictions, predict_one_ahead
from scalecommerce_core.pricing.evaluation.objections import (
    LEAST_PERIODS,
    LEAST_ROWS,
    MOST_FLAT,
    Objection,
    find_objections,
)
from scalecommerce_core.pricing.evaluation.panel import Panel, SalesLines, distinct_pairs
from scalecommerce_core.pricing.evaluation.price_changes import PriceChanges, study_price_changes
from scalecommerce_core.pricing.evaluation.quantity_discounts import QuantityDiscounts, study_quantity_discounts
from scalecommerce_core.pricing.learning import ElasticityLearning

FLAT: Final = 0.02
"""A cell has a flat price if its standard deviation divided by its mean is less than this."""
MOST_WAPE: Final = 10.0
"""Largest WAPE that is reported: predictions can be wrong by any factor, which says nothing more."""
MOST_DISPERSION: Final = 100.0
"""Largest value of the strategies' parameter `dispersion`."""
_MANY_UNSOLD: Final = 0.1
"""Share of rows without sales above which `advice` mentions them."""
_SPARSE_RATIO: Final = 50
"""Largest usual ratio of all periods to periods with rows; a larger ratio suggests that periods are neither days nor
weeks."""


@frozen
class Errors:
    """Errors on held-back rows.

    `log_rmse` is the root mean square error of log units; `wape`, the weighted absolute percentage error, is the sum of
    absolute errors in units divided by the sum of units, at most `MOST_WAPE`.
    """

    log_rmse: float
    wape: float


@frozen
class Forecast:
    """Errors of three regressions, trained on earlier and tested on later periods.

    `without_price` uses no elasticity, `alone` the elasticity of each cell, `shrunk` those shrunk to categories.
    """

    train_periods: int
    test_rows: int
    without_price: Errors
    alone: Errors
    shrunk: Errors


@frozen
class FilterForecast:
    """Errors of the demand filter of `elasticity_learning`, which predicts each test period from all earlier ones.

    `without_price` is the same filter if it takes all prices as equal. `adjusted` is the filter with the parameter
    `dispersion` as measured in the training periods.
    """

    test_rows: int
    without_price: Errors
    with_price: Errors
    adjusted: Errors
    dispersion: float
    """The parameter of `adjusted`."""
    gain: Slope
    """Share of the squared errors of log units (plus 1/2) that prices remove, and its standard error over periods, from
    the middle of the training periods on."""
    relative_gain: Slope
    """The same for errors relative to the mean error of the category in the period, which demand shocks that the
    category shares do not affect."""
    elasticity_median: float
    """Median of the filter's estimates after the last period."""


@frozen
class EvaluationReport:
    """The result of `evaluate_panel`."""

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
    autocorrelation: float
    """Correlation of the categories' mean errors in successive periods."""
    has_period_effects: bool
    """Whether the regression had an effect for each category and period, because the level of demand drifts."""
    dispersion: float
    """Variance of units divided by their expectation, in the median cell."""
    unsold_share: float
    """Share of the rows with a price in which nothing was sold; only the demand filter uses them."""
    price_changes: PriceChanges
    quantity_discounts: QuantityDiscounts
    forecast: Forecast | None
    cold_start: Forecast | None
    filter_forecast: FilterForecast | None
    objections: tuple[Objection, ...]
    """Reasons not to estimate elasticities from the data; empty if there are none."""
    _panel: Panel = field(eq=False, repr=False)
    _fit: Elasticities = field(eq=False, repr=False)

    @property
    def median_group(self) -> int:
        """The category (by its place among the sorted numbers) with the median elasticity."""
        return median_group(self._panel, self._fit)

    def curve_of_group(self, group: int) -> DemandCurve:
        """Observed and fitted demand of a category, by its place among the sorted numbers."""
        return demand_curve(self._panel, self._fit, self._panel.group == group)

    def curve_of_cell(self, cell: int) -> DemandCurve:
        """Observed and fitted demand of a cell, by its place among the sorted numbers."""
        return demand_curve(self._panel, self._fit, np.arange(self._panel.cells) == cell)

    @property
    def supports_learning(self) -> bool:
        """Whether elasticities may be estimated from the data."""
        return not self.objections

    @property
    def advice(self) -> str:
        """Warnings if periods are far apart, or often without sales; else empty."""
        said = []
        if self.span > _SPARSE_RATIO * max(self.periods, 1):
            said.append(
                f"The periods are far apart: only {self.periods:,} of {self.span:,} have sales. If they are seconds,"
                " use --bucket 86400 for days or --bucket 604800 for weeks."
            )
        if self.unsold_share > _MANY_UNSOLD and self.filter_forecast is not None:
            said.append(
                f"Nothing was sold in {self.unsold_share:.0%} of the rows. The regressions leave these out, so that"
                " their elasticities are too near 0; the demand filter uses them and estimates"
                f" {self.filter_forecast.elasticity_median:.2f}."
            )
        return " ".join(said)

    @property
    def tuning(self) -> str:
        """A better value of the parameter `dispersion` for policies on such data; empty if the default is good."""
        found = self.filter_forecast
        if found is None or self.dispersion <= 2.0 or found.adjusted.log_rmse >= 0.98 * found.with_price.log_rmse:
            return ""
        return (
            f"Sales vary {_times(self.dispersion)} times as much as a Poisson distribution. A policy with the parameter"
            f" dispersion = {found.dispersion:g} predicts them better than with the default."
        )

    @property
    def verdict(self) -> str:
        """The result in sentences, with all objections."""
        if self.supports_learning:
            return "These data are suitable: the elasticities are plausible and predict later sales."
        reasons = " ".join(str(objection) for objection in self.objections)
        return f"These data are not suitable for estimating elasticities: {reasons}"


def evaluate_panel(
    lines: SalesLines,
    *,
    periods_in_one: int = 1,
    held_back: float = 0.2,
    cold_periods: int = 8,
    period_days: float = 7.0,
) -> EvaluationReport:
    """Evaluate sales: train on the first periods, test on the last ones (`held_back` is their share).

    `lines.period` has the finest available resolution, days for order lines; the model combines `periods_in_one` of
    them into one period of `period_days` days. `cold_periods` is the number of training periods of the second test.
    """
    panel = Panel.of(lines, periods_in_one=periods_in_one)
    span = int(panel.period.max(initial=-1)) + 1
    periods = len(np.unique(panel.period))
    flat = _flat_share(panel)
    end = int((1.0 - held_back) * span)
    enough = len(panel) >= LEAST_ROWS and periods >= LEAST_PERIODS
    forecast = _forecast(panel, 0, end) if enough else None
    cold = _forecast(panel, end - cold_periods, end) if enough and end > cold_periods else None
    trained = Elasticities.of(panel.rows(panel.period < end) if enough else panel)
    one_ahead = (
        _filter_forecast(lines, periods_in_one, held_back, period_days, trained.dispersion) if forecast else None
    )
    # Cells whose price never changed have the elasticity of their category.
    slopes = trained.shrunk[trained.known]
    found = flat <= MOST_FLAT and bool((trained.informed & trained.known).any())
    negative = float((slopes < 0).mean()) if found else None
    changes, discounts = study_price_changes(panel, drifts=trained.drifts), study_quantity_discounts(lines, panel)
    objections = find_objections(
        rows=len(panel), periods=periods, flat_share=flat, negative_share=negative, trained=trained,
        price_changes=changes, quantity_discounts=discounts,
        gains=(one_ahead.gain, one_ahead.relative_gain) if one_ahead else (),
    )  # fmt: skip
    low, median, high = np.percentile(slopes, [25, 50, 75]).tolist() if found else [0.0] * 3
    return EvaluationReport(
        rows=len(panel), cells=int(trained.known.sum()), groups=len(trained.group_mean), periods=periods, span=span,
        elasticity_median=median if found else None, elasticity_quartiles=(low, high) if found else None,
        negative_share=negative, flat_share=flat, autocorrelation=trained.autocorrelation,
        has_period_effects=trained.drifts, dispersion=trained.dispersion,
        unsold_share=_unsold_share(lines, len(panel), periods_in_one), price_changes=changes,
        quantity_discounts=discounts, forecast=forecast, cold_start=cold, filter_forecast=one_ahead,
        objections=objections, panel=panel.rows(panel.period < end) if enough else panel, fit=trained,
    )  # fmt: skip


def _times(dispersion: float) -> str:
    return f"{dispersion:.1f}" if dispersion <= MOST_DISPERSION else f"more than {MOST_DISPERSION:.0f}"


def usable_dispersion(measured: float) -> float:
    """The measured dispersion as a value of the parameter `dispersion`."""
    return round(float(np.clip(measured, 1.0, MOST_DISPERSION)), 1)


def _forecast(panel: Panel, begin: int, end: int) -> Forecast | None:
    """Train on periods [begin, end), test on periods from `end` on; only cells with training rows are tested."""
    fit = Elasticities.of(panel.rows((panel.period >= begin) & (panel.period < end)))
    test = panel.rows((panel.period >= end) & fit.known[panel.cell])
    if not len(test) or not fit.known.any():
        return None
    return Forecast(
        train_periods=end - begin,
        test_rows=len(test),
        without_price=_errors(fit.predict_log_units(test, np.zeros_like(fit.alone)), test.units),
        alone=_errors(fit.predict_log_units(test, fit.alone), test.units),
        shrunk=_errors(fit.predict_log_units(test, fit.shrunk), test.units),
    )


def _filter_forecast(
    lines: SalesLines, periods_in_one: int, held_back: float, period_days: float, dispersion: float
) -> FilterForecast | None:
    span = int(lines.days().max(initial=0)) // periods_in_one + 1
    together = -(-span // MOST_PERIODS)
    panel = Panel.of(lines, periods_in_one=periods_in_one * together, unsold=True)
    end = int((1.0 - held_back) * (int(panel.period.max(initial=-1)) + 1))
    usual = ElasticityLearning()

    def run(strategy: ElasticityLearning, *, without_price: bool = False) -> Predictions:
        return predict_one_ahead(
            panel, strategy, begin=end // 2, end=end, period_days=period_days * together, without_price=without_price
        )

    with_price = run(usual)
    tested = panel.period[with_price.rows] >= end
    if not (panel.units[with_price.rows[tested]] > 0).any():
        return None
    without_price = run(usual, without_price=True)
    adjusted = run(evolve(usual, dispersion=usable_dispersion(dispersion)))
    units = panel.units[with_price.rows]
    cell, period = panel.cell[with_price.rows], panel.period[with_price.rows]
    misses, missed_without = (np.log(each.units + 0.5) - np.log(units + 0.5) for each in (with_price, without_price))
    group = panel.group[cell] if shares_periods(panel.group[cell], period) else np.zeros_like(cell)
    _, shared = distinct_pairs(group, period)
    return FilterForecast(
        test_rows=int(tested.sum()),
        without_price=_errors(np.log(without_price.units[tested]), units[tested]),
        with_price=_errors(np.log(with_price.units[tested]), units[tested]),
        adjusted=_errors(np.log(adjusted.units[tested]), units[tested]),
        dispersion=usable_dispersion(dispersion),
        gain=_gain(misses, missed_without, period),
        relative_gain=_gain(remove_effects(misses, [shared]), remove_effects(missed_without, [shared]), period),
        elasticity_median=float(np.median(with_price.elasticity)),
    )


def _errors(predicted: Floats, units: Floats) -> Errors:
    """`predicted` are log units. Rows without sales count for WAPE only."""
    sold = units > 0
    misses = predicted[sold] - np.log(units[sold])
    with np.errstate(over="ignore"):
        wape = float(np.abs(np.exp(predicted) - units).sum() / units.sum())
    return Errors(float(np.sqrt(np.mean(misses**2))), min(wape, MOST_WAPE))


def _gain(misses: Floats, without_price: Floats, period: Whole) -> Slope:
    """Share of the squared errors without prices that prices remove."""
    _, at = np.unique(period, return_inverse=True)
    usual = np.bincount(at, weights=without_price**2)
    removed = usual - np.bincount(at, weights=misses**2)
    total = float(usual.sum())
    if total <= 1e-12:
        return UNKNOWN_SLOPE
    share = float(removed.sum()) / total
    error = float(np.sqrt(((removed - share * usual) ** 2).sum())) / total
    return Slope(share, error * float(np.sqrt(len(usual) / max(len(usual) - 1, 1))))


def _unsold_share(lines: SalesLines, sold: int, periods_in_one: int) -> float:
    offered = len(Panel.of(lines, periods_in_one=periods_in_one, unsold=True))
    return 1.0 - sold / offered if offered else 0.0


def _flat_share(panel: Panel) -> float:
    count = np.maximum(np.bincount(panel.cell, minlength=panel.cells), 1)
    mean = np.bincount(panel.cell, weights=panel.price, minlength=panel.cells) / count
    around = np.bincount(panel.cell, weights=(panel.price - mean[panel.cell]) ** 2, minlength=panel.cells)
    seen = mean > 0
    return float((np.sqrt(around / count)[seen] < FLAT * mean[seen]).mean()) if seen.any() else 1.0
