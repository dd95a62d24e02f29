"""Substitutes: the cross elasticity of a category, and prices that take it into account."""

from typing import Any

import numpy as np
import pytest

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.interface import State
from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.pricing.strategy_calls import call_pool, call_propose, call_start, call_update
from scalecommerce_core.pricing.substitutes import Substitutes, estimate_cross, shift_signs
from tests.unit.support.pricing_signals import signals

CATEGORIES, PRODUCTS = 6, 60
GROUP = np.arange(PRODUCTS) % CATEGORIES


NAMES = ("vv", "vr", "rr", "vy", "ry", "yy")


def sums(**columns: Any) -> dict[str, Floats]:
    empty = {name: np.zeros(2) for name in (*NAMES, "windows", "own_score", "own_information")}
    return empty | {name: np.array(values, dtype=np.float64) for name, values in columns.items()}


def regression(cross: float, other: float, seed: int, windows: int = 200) -> dict[str, Floats]:
    """Sums of two categories whose log sales respond to the random part of prices by `cross`, and by `other` else."""
    rng = np.random.default_rng(seed)
    v, r, noise = (
        rng.normal(0, 0.02, (2, windows)),
        rng.normal(0, 0.05, (2, windows)),
        rng.normal(0, 0.02, (2, windows)),
    )
    y, weight = cross * v + other * r + noise, 1 / 0.02**2
    pairs = {"vv": (v, v), "vr": (v, r), "rr": (r, r), "vy": (v, y), "ry": (r, y), "yy": (y, y)}
    found = {name: weight * (first * second).sum(axis=1) for name, (first, second) in pairs.items()}
    return sums(**found, windows=[windows] * 2, own_information=[1e6] * 2)


def test_the_cross_elasticity_is_the_effect_of_the_random_part_of_prices() -> None:
    """The other part follows demand, so its coefficient is not the effect of prices."""
    found = estimate_cross(regression(cross=0.8, other=-2.0, seed=1), np.zeros(2), 0.5)
    assert found.mean == pytest.approx([0.8, 0.8], abs=3 * found.common_deviation)
    assert found.common_deviation < 0.15


def test_without_data_the_cross_elasticity_is_0() -> None:
    found = estimate_cross(sums(), np.full(2, 0.1), 0.5)
    assert (found.mean.tolist(), found.common_deviation) == ([0.0, 0.0], 0.5)


def test_a_category_without_data_has_the_mean_of_the_others() -> None:
    both = regression(cross=0.8, other=0.0, seed=2)
    one = {name: values * np.array([1.0, 0.0]) for name, values in both.items()}
    found = estimate_cross(one, np.zeros(2), 0.5)
    assert 0 < found.mean[1] < found.mean[0]


def test_the_error_of_the_own_elasticities_is_subtracted() -> None:
    """Sales respond to the random variation of single products by 0.3 more than estimated."""
    data = regression(cross=0.8, other=0.0, seed=3)
    found = estimate_cross(data | {"own_score": np.full(2, 3e5)}, np.zeros(2), 0.5)
    assert found.mean == pytest.approx(estimate_cross(data, np.zeros(2), 0.5).mean - 0.3, abs=0.05)


def test_uncertain_own_elasticities_make_the_cross_elasticity_uncertain() -> None:
    data = regression(cross=0.8, other=0.0, seed=3)
    sure, unsure = (estimate_cross(data, np.full(2, variance), 0.5) for variance in (0.0, 0.5))
    assert unsure.common_deviation > 2 * sure.common_deviation
    assert (unsure.mean < sure.mean).all()


@pytest.mark.parametrize("groups", [1, 2, 5, 10])
def test_shifts_alternate_and_are_balanced_between_categories(groups: int) -> None:
    signs = np.array([shift_signs(groups, window, seed=4) for window in range(40)])
    assert (signs[0::2] == -signs[1::2]).all()
    assert (np.abs(signs.sum(axis=1)) <= groups % 2).all()
    # The order within a pair and the halves are random.
    assert len({tuple(row) for row in signs.tolist()}) > 1
    assert (shift_signs(groups, 7, seed=5) == shift_signs(groups, 7, seed=5)).all()


# --- the strategy in a market of substitutes


def simulated(strategy: ElasticityLearning, cross: float, epochs: int) -> tuple[State, Signals]:
    """The state after some weeks in which demand responds to the mean price of the category."""
    rng, state, price = np.random.default_rng(5), None, np.full(PRODUCTS, 100_00)
    seen = signals()
    for epoch in range(epochs):
        x = price / 100_00 - 1.0
        total = np.bincount(GROUP, weights=x)[GROUP]
        others = (total - x) / (PRODUCTS / CATEGORIES - 1)
        views = np.full(PRODUCTS, 4_000.0)
        seen = signals(
            product=np.arange(1, PRODUCTS + 1), group=GROUP, price=price, cost=60_00, views=views, days=7.0,
            units=rng.poisson(views * 0.05 * np.exp(-2.5 * x + cross * others)),
        )  # fmt: skip
        state = call_start(strategy, seen, {}) if state is None else call_update(strategy, state, seen)
        if epoch % 4 == 3:
            state = call_pool(strategy, state, seen)
        proposed = call_propose(strategy, state, seen, epoch).prices
        price = np.where(np.isnan(proposed), price, np.rint(np.nan_to_num(proposed))).astype(np.int64)
    assert state is not None
    return state, seen


def test_prices_of_substitutes_are_higher_than_prices_of_products_alone() -> None:
    """At an elasticity of -2.5 and a cross elasticity of 1, all prices together respond with -1.5."""
    state, _ = simulated(Substitutes(), cross=1.0, epochs=80)
    assert 0.4 < state.groups["substitutes_cross"].mean() < 1.2
    alone, _ = simulated(ElasticityLearning(), cross=1.0, epochs=80)
    assert state.products["kept"].mean() > alone.products["kept"].mean() + 8_00


def test_without_a_cross_effect_prices_are_those_of_products_alone() -> None:
    state, _ = simulated(Substitutes(), cross=0.0, epochs=80)
    alone, _ = simulated(ElasticityLearning(), cross=0.0, epochs=80)
    assert state.groups["substitutes_cross"].mean() < 0.2
    assert state.products["kept"].mean() == pytest.approx(alone.products["kept"].mean(), rel=0.04)


def test_shifts_shrink_when_the_cross_elasticity_is_known() -> None:
    early, _ = simulated(Substitutes(), cross=0.0, epochs=3)
    late, _ = simulated(Substitutes(), cross=0.0, epochs=80)
    assert np.abs(early.groups["substitutes_shift"]).tolist() == [0.025] * CATEGORIES
    assert (np.abs(late.groups["substitutes_shift"]) < 0.025).all()


def test_a_category_with_a_single_product_has_no_cross_effect() -> None:
    strategy = Substitutes()
    seen = signals(group=[0, 1, 1], price=100_00, cost=60_00, views=5_000.0, units=250.0, days=7.0)
    state = call_start(strategy, seen, {})
    for _ in range(3):
        state = call_pool(strategy, call_update(strategy, state, seen), seen)
    groups = {**state.groups, "substitutes_cross": np.array([0.9, 0.9])}
    before = State(state.products, groups)
    moved = call_update(strategy, before, seen).products["kept"] - call_update(strategy, state, seen).products["kept"]
    assert moved[0] == 0
    assert (moved[1:] > 0).all()


def test_the_opportunity_cost_of_a_unit_is_limited() -> None:
    strategy = Substitutes(most_diverted=0.0)
    state, seen = simulated(Substitutes(), cross=1.0, epochs=40)
    limited, free = (call_update(each, state, seen).products["kept"] for each in (strategy, Substitutes()))
    assert (limited <= free).all()
    assert limited.mean() < free.mean()


def test_the_decision_about_a_product_does_not_depend_on_other_products() -> None:
    strategy = Substitutes()
    state, seen = simulated(strategy, cross=1.0, epochs=20)
    state = call_update(strategy, state, seen)
    together = call_propose(strategy, state, seen, 20).prices
    rows = [np.array([row]) for row in range(PRODUCTS)]
    alone = [float(call_propose(strategy, state.rows(row), seen.rows(row), 20).prices[0]) for row in rows]
    assert together.tolist() == alone


def test_a_price_set_by_hand_is_no_random_variation() -> None:
    strategy = Substitutes()
    state, seen = simulated(strategy, cross=0.0, epochs=6)
    by_hand = seen.with_columns(since_edit=np.full(PRODUCTS, 3.0), since_change=np.full(PRODUCTS, 3.0))
    assert (call_update(strategy, state, by_hand).products["counted"] == state.products["counted"]).all()
    assert (call_update(strategy, state, seen).products["counted"] == state.products["counted"] + 1).all()
