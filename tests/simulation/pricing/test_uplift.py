"""The uplift over fixed prices: percent of their profit, compared within the same worlds."""

import numpy as np
import pytest

from scalecommerce_core.simulation.runner import STATIC, Track
from scalecommerce_core.simulation.scenario import StrategyResult, find_worst_cells, static_tracks, uplift


def result(
    policy: str, earned: list[float], best: list[float], *, place: str = "base", seed: int = 1
) -> StrategyResult:
    none = np.empty((0, 0))
    return StrategyResult("a market", place, Track(policy, np.array(earned), np.array(best), {}, none, none), seed)


def test_an_uplift_is_a_percentage_of_the_profit_at_fixed_prices() -> None:
    static = static_tracks([result(STATIC, [60.0, 74.2], [100.0, 100.0])])
    assert uplift(result("hill_climb", [95.0, 95.2], [100.0, 100.0]), static) == pytest.approx(41.7, abs=0.05)
    # A strategy that was interrupted is compared with fixed prices in as many epochs.
    assert uplift(result("hill_climb", [66.0], [100.0]), static) == pytest.approx(10.0)
    assert uplift(result(STATIC, [60.0, 74.2], [100.0, 100.0]), static) is None
    assert uplift(result("hill_climb", [1.0], [1.0], seed=2), static) is None
    assert uplift(result("hill_climb", [1.0], [1.0]), static_tracks([result(STATIC, [0.0], [1.0])])) is None


def test_the_worst_cell_is_named_and_judged() -> None:
    cells = [("usual", 1, 50.0, 55.0), ("usual", 2, 50.0, 52.0), ("good", 1, 90.0, 89.1), ("good", 2, 90.0, 92.0)]
    results = [
        result(policy, [earned], [100.0], place=place, seed=seed)
        for place, seed, static, learned in cells
        for policy, earned in ((STATIC, static), ("elasticity_learning", learned))
    ]
    (worst,) = find_worst_cells(results, {"elasticity_learning": {"usual": 9.0}})
    assert worst.measure == "lowest of 4 cells (good, seed 1), uplift over fixed prices"
    assert worst.ours == pytest.approx(-1.0)
    assert (worst.bar, worst.passed) == (0.0, False)
    (allowed,) = find_worst_cells(results, {"elasticity_learning": {"good": -1.5}})
    assert (allowed.bar, allowed.passed) == (-1.5, True)
    # A large target of the mean is no target of each seed.
    usual = [each for each in results if each.place == "usual"]
    (least,) = find_worst_cells(usual, {"elasticity_learning": {"usual": 9.0}})
    assert least.ours == pytest.approx(4.0)
    assert least.bar == 0.0
    assert [figure.bar for figure in find_worst_cells(results, {})] == [None]
