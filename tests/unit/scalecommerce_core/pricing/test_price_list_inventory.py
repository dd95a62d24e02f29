"""Price lists with limited stock: the linear program, the demand curve, and the choice of prices."""

from itertools import product as pairs
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.interface import MOTIVES, Motive, State
from scalecommerce_core.pricing.price_list_inventory import PriceListInventory, best_mixture, fit_logistic
from scalecommerce_core.pricing.signals import Signals
from tests.unit.support.pricing_signals import signals

LISTED = (30_00, 35_00, 40_00, 45_00)
DEMANDS = np.array([0.8, 0.6, 0.3, 0.1])


def best_value(demand: Floats, profit: Floats, limit: float) -> float:
    """The optimum of the linear program, by trying all pairs of prices."""
    values = [float(r) for d, r in zip(demand, profit, strict=True) if d <= limit]
    for i, j in pairs(range(len(demand)), repeat=2):
        if demand[i] <= limit < demand[j]:
            share = (limit - demand[i]) / (demand[j] - demand[i])
            values.append(float(profit[i] + share * (profit[j] - profit[i])))
    return max(values)


def test_a_mixture_solves_the_linear_program() -> None:
    rng = np.random.default_rng(1)
    for size in (1, 2, 4, 20):
        demand = rng.uniform(0.0, 1.0, (300, size))
        profit = demand * rng.uniform(-5.0, 40.0, (300, size))
        limit = rng.uniform(0.0, 1.2, 300)
        found = best_mixture(demand, profit, limit)
        rows = np.arange(300)
        value = (1 - found.share) * profit[rows, found.first] + found.share * profit[rows, found.second]
        used = (1 - found.share) * demand[rows, found.first] + found.share * demand[rows, found.second]
        assert found.is_short.tolist() == (demand.min(axis=1) > limit).tolist()
        feasible = ~found.is_short
        assert (used[feasible] <= limit[feasible] + 1e-9).all()
        wanted = [best_value(demand[row], profit[row], limit[row]) for row in np.flatnonzero(feasible)]
        assert value[feasible] == pytest.approx(wanted)


def test_a_mixture_uses_at_most_two_prices_and_the_whole_limit() -> None:
    demand = DEMANDS[None, :]
    found = best_mixture(demand, demand * np.array(LISTED), np.array([0.25]))
    assert (int(found.first[0]), int(found.second[0])) == (3, 2)
    assert float(found.share[0]) == pytest.approx(0.75)  # 0.25 = 0.25 · 0.1 + 0.75 · 0.3
    assert (bool(found.is_limited[0]), bool(found.is_short[0])) == (True, False)


def test_a_price_whose_demand_is_the_limit_is_charged_alone() -> None:
    demand = DEMANDS[None, :]
    found = best_mixture(demand, demand * np.array(LISTED), np.array([0.3]))
    assert (int(found.first[0]), float(found.share[0])) == (2, 0.0)


def test_a_fitted_curve_has_the_mode_of_the_posterior() -> None:
    rng = np.random.default_rng(2)
    x = np.broadcast_to(np.linspace(-0.3, 0.3, 5), (200, 5))
    trials = rng.integers(0, 4_000, (200, 5)).astype(np.float64)
    chance = 1 / (1 + np.exp(-(rng.normal(-3, 2, 200)[:, None] + rng.normal(-4, 3, 200)[:, None] * x)))
    bought = rng.binomial(trials.astype(int), chance).astype(np.float64)
    found = fit_logistic(x, trials, bought, (-2.0, -4.0), (5.0, 12.0))
    p = 1 / (1 + np.exp(-(found.a[:, None] + found.b[:, None] * x)))
    rest = bought - trials * p
    slopes = rest.sum(axis=1) - (found.a + 2) / 5, (rest * x).sum(axis=1) - (found.b + 4) / 12
    assert np.abs(slopes).max() < 1e-2
    information = trials * p * (1 - p)
    determinant = found.c00 * found.c11 - found.c01**2
    assert found.c11 / determinant == pytest.approx(information.sum(axis=1) + 1 / 5, rel=1e-3)


def test_a_curve_without_sales_is_the_prior() -> None:
    nothing = np.zeros((1, 3))
    found = fit_logistic(np.array([[-0.1, 0.0, 0.1]]), nothing, nothing, (-2.0, -4.0), (5.0, 12.0))
    assert [float(column[0]) for column in found] == pytest.approx([-2.0, -4.0, 5.0, 0.0, 12.0])


def test_a_curve_where_everybody_buys_stays_finite() -> None:
    many = np.full((1, 3), 1e9)
    found = fit_logistic(np.array([[-0.1, 0.0, 0.1]]), many, many, (-2.0, -4.0), (5.0, 12.0))
    assert all(np.isfinite(column).all() for column in found)


# --- choice of prices


def informed(policy: PriceListInventory, seen: Signals, views: float = 1e6) -> State:
    """A state in which the demand at each price is known, and a product has 100 views a day."""
    state = policy.start(seen, {})
    columns = {name: values.copy() for name, values in state.products.items()}
    columns["arm_views"][:, :4] = views
    columns["arm_units"][:, :4] = views * DEMANDS
    columns["views_a_day"][:] = 100.0
    return evolve(state, products=columns)


def shares(policy: PriceListInventory, seen: Signals) -> dict[int, float]:
    """How often each price is proposed in 2,000 epochs."""
    state = informed(policy, seen)
    prices = [int(policy.propose(state, seen, epoch).prices[0]) for epoch in range(2_000)]
    return {price: prices.count(price) / 2_000 for price in sorted(set(prices))}


def motive(policy: PriceListInventory, seen: Signals) -> Motive:
    proposed = policy.propose(informed(policy, seen), seen, 1)
    assert proposed.motive is not None
    return MOTIVES[int(proposed.motive[0])]


@pytest.mark.parametrize(
    ("stock", "days_left", "wanted"),
    [
        (np.inf, 10.0, {30_00: 1.0}),  # 0.8 · 30.00 = 24 is the largest revenue
        (5_000.0, np.inf, {30_00: 1.0}),
        (900.0, 10.0, {30_00: 1.0}),
        (500.0, 10.0, {35_00: 2 / 3, 40_00: 1 / 3}),
        (250.0, 10.0, {40_00: 0.75, 45_00: 0.25}),
        (20.0, 10.0, {45_00: 1.0}),
    ],
)
def test_prices_are_mixed_so_that_the_stock_lasts(stock: float, days_left: float, wanted: dict[int, float]) -> None:
    policy = PriceListInventory(prices=LISTED, caution=0.0)
    seen = signals(cost=0, stock=stock, days_left=days_left)
    assert shares(policy, seen) == pytest.approx(wanted, abs=0.04)
    assert motive(policy, seen) is (Motive.LEARNED if wanted == {30_00: 1.0} else Motive.STOCK_SHORT)


def test_the_cost_of_goods_that_keep_their_value_counts() -> None:
    seen = signals(cost=25_00)
    # (35 - 25) · 0.6 = 6 exceeds (30 - 25) · 0.8 = 4 and (40 - 25) · 0.3 = 4.5.
    assert shares(PriceListInventory(prices=LISTED, caution=0.0), seen) == {35_00: 1.0}
    assert shares(PriceListInventory(prices=LISTED, caution=0.0, perishable=True), seen) == {30_00: 1.0}


def test_the_proposal_for_a_product_does_not_depend_on_other_products() -> None:
    policy = PriceListInventory(prices=LISTED)
    rng = np.random.default_rng(3)
    seen = signals(product=np.arange(1, 31), cost=0, stock=rng.uniform(10, 900, 30), days_left=10.0)
    state = informed(policy, seen, views=50.0)
    together = policy.propose(state, seen, 5).prices
    alone = [
        float(policy.propose(state.rows(slice(i, i + 1)), seen.rows(slice(i, i + 1)), 5).prices[0]) for i in range(30)
    ]
    assert together.tolist() == alone


def test_sales_count_for_the_nearest_listed_price_and_fade() -> None:
    policy = PriceListInventory(prices=LISTED, half_life_weeks=1.0)

    def after(state: State, **columns: Any) -> State:
        return policy.update(state, signals(reference=35_00, days=7.0, **columns))

    state = after(policy.start(signals(), {}), price=36_00, views=100.0, units=20.0)
    assert state.products["arm_views"][0, :4].tolist() == [0.0, 100.0, 0.0, 0.0]
    state = after(state, price=45_00, views=40.0, units=3.0)
    assert state.products["arm_units"][0, :4].tolist() == [0.0, 10.0, 0.0, 3.0]
    assert float(state.products["views_a_day"][0]) == pytest.approx(10.0)
    state = after(state, price=45_00, views=0.0, units=-50.0)
    assert state.products["arm_units"][0, :4].tolist() == [0.0, 5.0, 0.0, 0.0]


def test_views_a_day_follow_a_change_of_the_traffic() -> None:
    policy = PriceListInventory(prices=LISTED, memory_days=14.0)
    state = policy.start(signals(), {})
    for views in (70.0, 70.0, 70.0, 700.0):
        state = policy.update(state, signals(price=30_00, views=views, units=0.0, days=7.0))
    # The mean of three weeks at 10 and one at 100, in which the past counts as 14 days.
    assert float(state.products["views_a_day"][0]) == pytest.approx((14 * 10 + 7 * 100) / 21)
    unseen = policy.update(state, signals(price=30_00, views=0.0, units=0.0, days=0.0))
    assert unseen.products["views_a_day"].tolist() == state.products["views_a_day"].tolist()
