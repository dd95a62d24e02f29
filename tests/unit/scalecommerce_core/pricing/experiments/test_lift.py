"""Estimates of the lift, and their intervals."""

import numpy as np
import pytest
from attrs import evolve

from scalecommerce_core.pricing.experiments.intervals import fixed_quantile, repeated_quantile, student_quantile
from scalecommerce_core.pricing.experiments.lift import HoldOutProfits, estimate_hold_out, estimate_switchback


@pytest.mark.parametrize(
    ("probability", "degrees_of_freedom", "quantile"),
    # Tables of Student's t distribution.
    [
        (0.975, 3, 3.182),
        (0.975, 5, 2.571),
        (0.975, 10, 2.228),
        (0.975, 30, 2.042),
        (0.975, 1e9, 1.960),
        (0.9875, 4, 3.495),
        (0.9875, 10, 2.634),
    ],
)
def test_quantiles_are_those_of_students_distribution(
    probability: float, degrees_of_freedom: float, quantile: float
) -> None:
    assert student_quantile(probability, degrees_of_freedom) == pytest.approx(quantile, rel=0.01)


def test_the_boundary_for_repeated_looks_is_crossed_by_chance_in_five_percent_at_most() -> None:
    steps = 200
    paths = np.cumsum(np.random.default_rng(5).normal(0, steps**-0.5, (4_000, steps)), axis=1)
    elapsed = np.arange(1, steps + 1) / steps
    standard_errors = elapsed**-0.5
    bound = np.array([repeated_quantile(1e9, share) for share in elapsed]) * standard_errors
    crossed = (np.abs(paths / elapsed) > bound).any(axis=1).mean()
    assert 0.03 < crossed <= 0.05


def test_at_the_planned_end_the_interval_for_repeated_looks_is_a_seventh_wider() -> None:
    assert repeated_quantile(1e9, 1.0) / fixed_quantile(1e9) == pytest.approx(1.1436, abs=1e-3)
    assert repeated_quantile(1e9, 0.25) == pytest.approx(2 * repeated_quantile(1e9, 1.0))


def panel(size: int = 400, lift: float = 0.1, noise: float = 0.1, seed: int = 2) -> HoldOutProfits:
    rng = np.random.default_rng(seed)
    level = np.exp(rng.normal(5, 1, size))
    held = np.arange(size) % 5 == 0
    category = rng.integers(0, 4, size)
    shock = np.exp(rng.normal(0, 0.3, 4))[category]
    before = level[:, None] * np.exp(rng.normal(0, noise, (size, 2)))
    during = 20 * level * shock * np.where(held, 1.0, 1.0 + lift) * np.exp(rng.normal(0, noise, size))
    return HoldOutProfits(category, held, before, during)


def test_the_lift_is_estimated_beside_shocks_of_categories() -> None:
    found = estimate_hold_out(panel())
    assert found is not None
    interval = found.fixed_interval()
    assert interval.low < 0.1 < interval.high
    assert interval.half_width < 0.05


def test_without_noise_the_lift_is_exact() -> None:
    profits = panel(noise=0.0)
    found = estimate_hold_out(evolve(profits, category=np.zeros(400, dtype=np.int64), during=np.where(
        profits.is_held_out, 1.0, 1.25) * profits.before[:, 0] * 7))  # fmt: skip
    assert found is not None
    assert found.lift == pytest.approx(0.25, abs=1e-3)


def test_sales_before_the_start_narrow_the_interval() -> None:
    profits = panel()
    flat = evolve(profits, before=np.full_like(profits.before, 1.0))
    with_history, without = estimate_hold_out(profits), estimate_hold_out(flat)
    assert with_history is not None
    assert without is not None
    assert with_history.standard_error < without.standard_error / 3


def test_a_dominant_product_leaves_few_degrees_of_freedom() -> None:
    profits = panel()
    before, during = profits.before.copy(), profits.during.copy()
    before[0] *= 500
    during[0] *= 500
    usual, dominated = estimate_hold_out(profits), estimate_hold_out(evolve(profits, before=before, during=during))
    assert usual is not None
    assert dominated is not None
    assert dominated.degrees_of_freedom < 5 < usual.degrees_of_freedom


def test_products_that_were_listed_for_a_part_of_the_time_are_expected_to_earn_that_part() -> None:
    profits = panel(noise=0.01)
    exposure = np.where(np.arange(400) % 3, 1.0, 0.25)
    late = evolve(profits, during=profits.during * exposure, exposure=exposure)
    found, unaware = estimate_hold_out(late), estimate_hold_out(evolve(late, exposure=None))
    assert found is not None
    assert unaware is not None
    assert found.lift == pytest.approx(0.1, abs=0.02)
    assert found.standard_error < unaware.standard_error / 5


@pytest.mark.parametrize(
    "profits",
    [
        evolve(panel(), is_held_out=np.arange(400) < 9),
        evolve(panel(), is_held_out=np.arange(400) >= 9),
        evolve(panel(), during=np.zeros(400)),
        evolve(panel(), during=-panel().during),
        evolve(panel(), during=np.where(panel().is_held_out, -1.0, panel().during)),
    ],
    ids=["few held out", "few others", "no sales", "losses", "losses at own prices"],
)
def test_without_products_or_profit_there_is_no_estimate(profits: HoldOutProfits) -> None:
    assert estimate_hold_out(profits) is None


def test_a_shop_without_sales_before_the_start_can_be_measured() -> None:
    profits = panel()
    found = estimate_hold_out(evolve(profits, before=np.zeros((400, 2))))
    assert found is not None
    assert found.fixed_interval().low < 0.1 < found.fixed_interval().high


def test_a_switchback_compares_pairs_of_periods() -> None:
    rng = np.random.default_rng(4)
    own = np.tile([True, False, False, True], 6)
    profits = 1_000.0 * np.where(own, 1.0, 1.08) * np.exp(rng.normal(0, 0.01, 24))
    found = estimate_switchback(profits, own)
    assert found is not None
    assert found.lift == pytest.approx(0.08, abs=0.01)
    assert found.degrees_of_freedom == 11
    assert estimate_switchback(profits[:11], own[:11]) is not None, "the incomplete pair is left out"
    assert estimate_switchback(profits[:9], own[:9]) is None
    assert estimate_switchback(profits - 2_000, own) is None
    assert estimate_switchback(np.full(24, 5.0), own) is None, "no variance"
