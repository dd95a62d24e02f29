import tracemalloc
from typing import Any

import numpy as np
import pytest

from scalecommerce_core.pricing.evaluation.elasticities import Elasticities
from scalecommerce_core.pricing.evaluation.panel import Panel, SalesLines
from scalecommerce_core.pricing.evaluation.report import EvaluationReport, evaluate_panel

COLUMNS = ("cell", "group", "period", "units", "price")


def panel(
    *, shops: int = 30, groups: int = 4, weeks: int = 60, spread: float = 0.12, shared: bool = False, seed: int = 1
) -> tuple[SalesLines, Any]:
    """Weekly sales of one product per group in many shops, with known elasticities."""
    rng = np.random.default_rng(seed)
    cells = shops * groups
    group = np.arange(cells) % groups
    true = rng.normal(-1.5 - 0.7 * group, 0.3)
    cell, week = (each.ravel() for each in np.meshgrid(np.arange(cells), np.arange(weeks), indexing="ij"))
    promotions = (
        rng.normal(0, spread, (groups, weeks))[group[cell], week] if shared else rng.normal(0, spread, len(cell))
    )
    price = 10.0 * np.exp(promotions)
    units = np.exp(
        4 + 0.5 * rng.normal(size=cells)[cell] + true[cell] * (price / 10 - 1) + 0.3 * rng.normal(size=len(cell))
    )
    return SalesLines(cell, group[cell], week, units, price), true


def report(lines: SalesLines, **more: Any) -> EvaluationReport:
    return evaluate_panel(lines, **more)


def test_elasticities_are_recovered_from_simulated_sales() -> None:
    lines, true = panel()
    found = Elasticities.of(Panel.of(lines))
    assert np.corrcoef(found.shrunk, true)[0, 1] > 0.95
    assert np.median(found.shrunk - true) == pytest.approx(0, abs=0.1)
    assert np.abs(found.shrunk - true).mean() < np.abs(found.alone - true).mean()


def test_a_good_panel_supports_learning() -> None:
    lines, _ = panel()
    judged = report(lines)
    assert judged.supports_learning
    assert "are suitable" in judged.verdict
    assert (judged.rows, judged.cells, judged.groups, judged.periods) == (7_200, 120, 4, 60)
    assert judged.negative_share == 1
    assert judged.forecast is not None
    assert judged.forecast.train_periods == 48
    assert judged.forecast.shrunk.log_rmse < 0.33 < judged.forecast.without_price.log_rmse


def test_shrinkage_improves_predictions_after_few_periods() -> None:
    """All shops have the same price for few weeks, so the estimate of each single shop is wrong."""
    lines, _ = panel(shared=True, spread=0.06, seed=2)
    cold = report(lines, cold_periods=3).cold_start
    assert cold is not None
    assert cold.train_periods == 3
    assert cold.shrunk.wape < cold.alone.wape - 0.05
    assert cold.shrunk.log_rmse < cold.alone.log_rmse


def test_flat_prices_are_refused() -> None:
    lines, _ = panel(spread=0.001)
    judged = report(lines)
    assert not judged.supports_learning
    assert judged.flat_share == 1
    assert "hardly change" in judged.verdict


def test_prices_that_depend_on_the_quantity_are_refused() -> None:
    rng = np.random.default_rng(3)
    n = 20_000
    units = np.exp(rng.normal(1, 1, n)).round().clip(1)
    price = 10.0 * units**-0.1 * np.exp(0.05 * rng.normal(size=n))
    lines = SalesLines(rng.integers(0, 50, n), np.zeros(n, dtype=np.int64), rng.integers(0, 100, n), units, price)
    judged = report(lines, periods_in_one=7)
    assert not judged.supports_learning
    assert judged.quantity_discounts.line_slope.value == pytest.approx(-0.1, abs=0.02)
    assert "quantity" in judged.verdict


def test_several_sales_a_day_at_one_price_are_accepted() -> None:
    lines, _ = panel()
    halves = SalesLines(
        *(np.concatenate([getattr(lines, name)] * 2) for name in ("cell", "group", "period", "units", "price"))
    )
    judged = report(halves)
    assert judged.supports_learning
    assert judged.quantity_discounts.mixed_share == 0


def test_noise_that_no_price_explains_is_refused() -> None:
    lines, _ = panel()
    rng = np.random.default_rng(4)
    shuffled = SalesLines(
        lines.cell, lines.group, lines.period, np.exp(4 + 3 * rng.normal(size=len(lines))), lines.price
    )
    assert "do not improve" in report(shuffled).verdict


def test_prices_that_follow_demand_are_refused() -> None:
    lines, _ = panel()
    upward = SalesLines(lines.cell, lines.group, lines.period, 50.0 * (lines.price / 10) ** 2, lines.price)
    assert "negative" in report(upward).verdict


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_panels_with_too_few_rows_are_refused(rows: int) -> None:
    lines, _ = panel()
    few = SalesLines(*(getattr(lines, name)[:rows] for name in COLUMNS))
    judged = report(few)
    assert not judged.supports_learning
    assert "are needed" in judged.verdict


def test_lines_are_summed_and_lines_without_sales_are_left_out() -> None:
    lines = SalesLines(
        np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]), np.array([700, 706, 707, 707]), np.array([1.0, 3.0, 0.0, -2.0]),
        np.array([10.0, 6.0, 5.0, 5.0]),
    )  # fmt: skip
    weekly = Panel.of(lines, periods_in_one=7)
    assert (weekly.cell.tolist(), weekly.period.tolist(), weekly.units.tolist(), weekly.price.tolist()) == (
        [0], [0], [4.0], [7.0],
    )  # fmt: skip


def test_panel_memory_is_bounded_by_rows_for_any_numbers() -> None:
    """Cells, groups and periods with large numbers give the same report, except for the span, and need no large
    arrays."""
    lines, _ = panel(shops=5)
    plain = report(lines)
    far = SalesLines(lines.cell * 10**12 - 5, lines.group * 10**15, lines.period * 10**16, lines.units, lines.price)
    tracemalloc.start()
    try:
        judged = report(far, periods_in_one=10**16)
        wide = report(far)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert judged == plain
    assert peak < 20_000_000
    assert (wide.periods, wide.span) == (60, 59 * 10**16 + 1)
    assert wide.elasticity_median == pytest.approx(plain.elasticity_median, abs=0.1)
    assert wide.advice
    assert not plain.advice


def test_the_report_does_not_show_the_prior_as_an_estimate() -> None:
    lines, _ = panel(spread=0.001)
    judged = report(lines)
    assert (judged.elasticity_median, judged.elasticity_quartiles, judged.negative_share) == (None, None, None)
