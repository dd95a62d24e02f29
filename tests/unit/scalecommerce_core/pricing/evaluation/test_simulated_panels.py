"""Good panels are accepted, and misleading ones refused with the right reason, for every seed."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from attrs import evolve

from scalecommerce_core.pricing.evaluation.objections import Reason
from scalecommerce_core.pricing.evaluation.panel import SalesLines
from scalecommerce_core.pricing.evaluation.report import EvaluationReport, evaluate_panel
from scalecommerce_core.pricing.evaluation.simulated_panels import (
    PANELS,
    PanelShape,
    busy_cells_panel,
    busy_weeks_panel,
    drifting_panel,
    good_panel,
    promoted_panel,
    quantity_discount_panel,
)

SEEDS = range(1, 9)
GOOD = ("good", "drifting", "promoted", "sparse")
SMALL = PanelShape(categories=2, cells_each=10, weeks=52)


def reasons(report: EvaluationReport) -> set[Reason]:
    return {objection.reason for objection in report.objections}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", GOOD)
def test_good_panels_are_accepted(kind: str, seed: int) -> None:
    report = evaluate_panel(PANELS[kind](seed))
    assert report.supports_learning, report.verdict
    assert report.filter_forecast is not None
    assert report.filter_forecast.gain.value > 0.05


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("quantity discounts", Reason.QUANTITY_DISCOUNTS, "depend on the quantity bought"),
        ("busy weeks", Reason.BUSY_PERIODS, "busy periods"),
        ("busy cells", Reason.TOO_STEEP, "implausible"),
    ],
)
def test_misleading_panels_are_refused_with_the_right_reason(kind: str, reason: Reason, words: str, seed: int) -> None:
    report = evaluate_panel(PANELS[kind](seed))
    assert reason in reasons(report)
    (objection,) = [each for each in report.objections if each.reason is reason]
    assert words in objection.message
    assert objection.remedy
    assert str(objection) in report.verdict


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("panel", [good_panel, drifting_panel, promoted_panel])
def test_small_good_panels_are_accepted(panel: Callable[..., SalesLines], seed: int) -> None:
    assert reasons(evaluate_panel(panel(seed, SMALL))) == set()


@pytest.mark.parametrize("seed", SEEDS)
def test_one_drifting_category_is_accepted(seed: int) -> None:
    """A shared random walk and few shared price changes seem related by chance, unless differences are compared."""
    report = evaluate_panel(drifting_panel(seed, PanelShape(categories=1, cells_each=30, weeks=104)))
    assert report.supports_learning, report.verdict
    assert report.has_period_effects


def test_the_elasticity_of_a_drifting_panel_is_recovered() -> None:
    report = evaluate_panel(drifting_panel(3))
    assert report.elasticity_median == pytest.approx(-2.2, abs=0.25)
    assert report.autocorrelation > 0.5
    assert "drift" not in report.verdict


@pytest.mark.parametrize("seed", SEEDS)
def test_prices_that_all_move_together_are_refused(seed: int) -> None:
    lines = busy_weeks_panel(seed, response=0.3)
    first = lines.cell < 5  # one cell of each category
    moves = lines.price[first].reshape(5, -1)
    moves = moves / moves.mean(axis=1, keepdims=True)
    usual = np.repeat(20.0 + np.arange(100), moves.shape[1])
    together = evolve(lines, price=usual * moves[lines.group, lines.period])
    assert reasons(evaluate_panel(together)) & {Reason.MOVE_TOGETHER, Reason.BUSY_PERIODS}


@pytest.mark.parametrize("seed", SEEDS)
def test_means_of_orders_are_recognized_by_their_variation(seed: int) -> None:
    """Continuous discounts leave no whole cents, but means of many orders vary less than those of few."""
    lines = quantity_discount_panel(seed, discounts=tuple((least, 1 - least**-0.1) for least in range(2, 60)))
    report = evaluate_panel(evolve(lines, price=lines.price * np.pi))
    assert report.quantity_discounts.mean_share < 0.05
    assert report.quantity_discounts.variation.value < -0.15
    assert Reason.QUANTITY_DISCOUNTS in reasons(report)


@pytest.mark.parametrize("seed", SEEDS)
def test_rounded_means_of_orders_are_recognized_between_list_prices(seed: int) -> None:
    """Most weeks have one price, because there are few orders; cells sell alike, and means are rounded to cents."""
    rng = np.random.default_rng(seed)
    shape = (60, 80)
    orders = rng.poisson(4, shape)
    at = np.repeat(np.arange(60 * 80), orders.ravel())
    size = np.where(rng.random(len(at)) < 0.12, 12.0, 1.0) + rng.poisson(1, len(at))
    paid = size * np.where(size >= 10, 8.0, 10.0)
    units, revenue = (np.bincount(at, each, 60 * 80).astype(np.float64) for each in (size, paid))
    cell, week = (each.ravel() for each in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    price = np.round(revenue / np.maximum(units, 1.0), 2)
    report = evaluate_panel(SalesLines(cell, cell % 3, week, units, price))
    assert Reason.QUANTITY_DISCOUNTS in reasons(report)
    assert "between two list prices" in report.verdict


@pytest.mark.parametrize("seed", SEEDS)
def test_the_number_of_orders_shows_quantity_discounts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    good = good_panel(seed)
    usual = evolve(good, orders=np.ceil(good.units / 1.5))
    assert evaluate_panel(usual).supports_learning
    shape = (50, 60)
    orders = rng.poisson(20, shape) + 1
    size = np.exp(rng.normal(0.5, 0.3, shape))
    cell, week = (each.ravel() for each in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    lines = SalesLines(
        cell=cell,
        group=cell % 2,
        period=week,
        units=np.asarray(np.round(orders * size).ravel(), np.float64),
        price=np.asarray(30.0 * size.ravel() ** -0.25, np.float64),
        orders=np.asarray(orders.ravel(), np.float64),
    )
    report = evaluate_panel(lines)
    assert Reason.QUANTITY_DISCOUNTS in reasons(report)
    assert "units of an order" in report.verdict


@pytest.mark.parametrize("seed", SEEDS)
def test_cells_cut_while_busy_beside_lasting_price_changes_are_recognized(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lines = good_panel(seed)
    shock = rng.normal(0, 0.5, len(lines))
    cut = evolve(lines, price=lines.price * np.exp(-0.12 * shock), units=np.round(lines.units * np.exp(shock)))
    assert Reason.CUT_WHEN_BUSY in reasons(evaluate_panel(cut))


@pytest.mark.parametrize("seed", SEEDS)
def test_cells_cut_after_they_were_busy_are_recognized(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells, weeks = 60, 80
    noise = rng.normal(0, 0.3, (cells, weeks))
    shock = np.copy(noise)
    for week in range(1, weeks):
        shock[:, week] = 0.7 * shock[:, week - 1] + noise[:, week]
    price = np.exp(-0.3 * np.roll(shock, 1, axis=1) + rng.normal(0, 0.03, shock.shape))
    units = rng.poisson(np.exp(3.5 - 2.2 * (price - 1) + shock))
    cell, week_of = (each.ravel() for each in np.meshgrid(np.arange(cells), np.arange(weeks), indexing="ij"))
    sold, paid = np.asarray(units.ravel(), np.float64), np.asarray(10 * price.ravel(), np.float64)
    report = evaluate_panel(SalesLines(cell, cell % 3, week_of, sold, paid))
    assert Reason.PRICES_FOLLOW_SALES in reasons(report)
    assert "cut after they were busy" in report.verdict


def test_a_few_cells_with_implausible_elasticities_are_named() -> None:
    good, bad = good_panel(1), busy_cells_panel(1)
    mixed = evolve(
        good,
        price=np.where(good.cell < 20, bad.price, good.price),
        units=np.where(good.cell < 20, bad.units, good.units),
    )
    report = evaluate_panel(mixed)
    assert Reason.TOO_STEEP in reasons(report)
    assert re.search(r"The elasticities of (1[5-9]|20) of 100 cells are implausible", report.verdict)


def test_the_verdict_depends_on_the_filter_of_production() -> None:
    """Prices had an effect at first, but not in the periods on which the filter is tested."""
    rng = np.random.default_rng(7)
    lines = good_panel(2, PanelShape(elasticity=0.0, noise=0.6))
    report = evaluate_panel(evolve(lines, units=rng.permutation(lines.units)))
    assert Reason.NO_IMPROVEMENT in reasons(report)
    assert "demand filter" in report.verdict


def test_the_dispersion_that_predicts_better_is_suggested() -> None:
    report = evaluate_panel(good_panel(1, PanelShape(units_a_week=500.0, noise=0.4)))
    assert report.filter_forecast is not None
    assert report.filter_forecast.adjusted.log_rmse < report.filter_forecast.with_price.log_rmse
    assert f"dispersion = {report.filter_forecast.dispersion:g}" in report.tuning


def test_rows_without_sales_are_used_by_the_filter_only() -> None:
    report = evaluate_panel(PANELS["sparse"](1))
    assert report.filter_forecast is not None
    assert 0.1 < report.unsold_share < 0.5
    assert report.elasticity_median is not None
    assert report.elasticity_median > -1.6
    assert report.filter_forecast.elasticity_median == pytest.approx(-2.2, abs=0.3)
    assert f"estimates {report.filter_forecast.elasticity_median:.2f}" in report.advice


def test_reported_wape_is_bounded() -> None:
    """Two almost equal prices in training make the elasticity of a cell absurd."""
    lines = good_panel(1, SMALL)
    price = np.where(lines.period < 41, 10.0 + 0.001 * (lines.period % 2), np.where(lines.period % 2, 8.0, 12.0))
    report = evaluate_panel(evolve(lines, price=price))
    assert report.forecast is not None
    assert report.forecast.alone.wape == 10


def test_the_demand_curve_has_observed_and_fitted_points() -> None:
    report = evaluate_panel(good_panel(1))
    curve = report.curve_of_group(report.median_group)
    assert curve.elasticity == pytest.approx(-2.2, abs=0.4)
    assert len(curve.points) == 12
    prices = [point.price for point in curve.points]
    assert prices == sorted(prices)
    assert curve.points[0].units > 1.2
    assert curve.points[-1].units < 0.85
    assert all(point.units == pytest.approx(point.fitted, rel=0.15) for point in curve.points)
    assert report.curve_of_cell(3).elasticity != curve.elasticity
    assert sum(point.rows for point in report.curve_of_cell(3).points) <= 64
