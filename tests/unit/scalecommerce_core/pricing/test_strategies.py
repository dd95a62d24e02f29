"""The proposals of the built-in strategies, for one product at a time."""

from functools import cache
from math import exp, sqrt
from typing import Any

import attrs
import numpy as np
import pytest
from attrs import evolve

from scalecommerce_core.pricing import seeded_random
from scalecommerce_core.pricing.built_in import BUILT_IN, strategy_named
from scalecommerce_core.pricing.demand_curve import price_at
from scalecommerce_core.pricing.hill_climb import HillClimb
from scalecommerce_core.pricing.interface import MOTIVES, Motive, PricingStrategy, State
from scalecommerce_core.pricing.learning import ControlledVariance, ElasticityLearning, Inventory
from scalecommerce_core.pricing.linear_demand import LinearDemand
from scalecommerce_core.pricing.price_grid import PriceGrid
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.pricing.strategy_calls import call_pool, call_propose, call_start, call_update
from scalecommerce_core.pricing.threshold import Threshold
from tests.unit.support.pricing_signals import signals


def wanted(policy: PricingStrategy, state: State, seen: Signals, epoch: int = 1) -> tuple[Any, Motive]:
    """`Any`, for pytest's approximations."""
    proposal = policy.propose(state, seen, epoch)
    assert proposal.motive is not None
    return float(proposal.prices[0]), MOTIVES[int(proposal.motive[0])]


# --- learning


def believing(seen: Signals, policy: PricingStrategy | None = None, **columns: Any) -> State:
    """The initial state, with other values of these columns."""
    started = (policy or ElasticityLearning()).start(seen, {})
    products = {**started.products, **{name: np.full(len(seen), value) for name, value in columns.items()}}
    return evolve(started, products=products)


def test_elasticity_learning_starts_from_the_category_s_conversion_and_the_seller_s_mark_up() -> None:
    seen = signals(group=[0, 0, 1], views=[20_000, 0, 0], units=[1_000, 0, 0], cost=[60_00, 75_00, -1])
    state = ElasticityLearning().start(seen, {})
    assert np.exp(state.products["a"]) == pytest.approx([1_020 / 21_000, 1_020 / 21_000, 0.02], rel=1e-5)
    # The prices are optimal at elasticities of -2.5 and -4; a part of the difference to -2.4 is believed.
    assert state.products["b"] == pytest.approx([-2.4 - 0.35 * 0.1, -2.4 - 0.35 * 1.6, -2.4])
    assert state.products["c11"] == pytest.approx([0.81 + 0.2 * 0.1**2, 0.81 + 0.2 * 1.6**2, 0.81])
    newcomer = ElasticityLearning().start(signals(group=[1, 2], cost=-1), state.groups)
    assert np.exp(newcomer.products["a"]) == pytest.approx([0.02, (25 + 20) / 2_000], rel=1e-5)
    assert len(newcomer.groups["mean"]) == 3
    assert newcomer.groups["level"][:2].tolist() == state.groups["level"].tolist()


def test_a_new_category_begins_with_what_the_seller_s_others_have_taught() -> None:
    known = ElasticityLearning().start(signals(group=[0, 1]), {}).groups
    taught = {**known, "mean": np.array([-1.5, -1.7]), "markup_share": np.array([0.9, 0.9])}
    groups = ElasticityLearning().start(signals(group=[2]), taught).groups
    assert groups["mean"] == pytest.approx([-1.5, -1.7, -1.6])
    assert groups["markup_share"][2] == pytest.approx(0.9)


def test_category_parameters_of_an_earlier_release_are_completed() -> None:
    strategy, seen = ElasticityLearning(), signals(group=[0, 1])
    earlier = {"level": np.array([-3.5, -3.0]), "mean": np.array([-2.0, -3.0]), "variance": np.array([0.3, 0.4])}
    started = call_start(strategy, signals(group=[0, 2]), earlier)
    assert started.groups["mean"] == pytest.approx([-2.0, -3.0, -2.5])
    assert started.groups["within"] == pytest.approx([0.3] * 3)
    stored = State(strategy.start(seen, {}).products, earlier)
    updated = call_update(strategy, stored, seen)
    pooled = call_pool(strategy, updated, seen)
    assert pooled.groups.keys() == started.groups.keys()


def test_estimates_are_corrected_once_for_an_effect_of_the_price_on_views() -> None:
    strategy, products = ElasticityLearning(), np.arange(1, 41)
    low = {"product": products, "price": 90_00}

    def learn(views: float) -> State:
        """Learn from two epochs at the reference price, and two with these views below it."""
        state = strategy.start(signals(product=products), {})
        for _ in range(2):
            state = strategy.update(state, signals(product=products))
            state = strategy.update(state, signals(**low, views=views, units=32))
        return state

    state, honest = learn(1_200), learn(1_000)
    assert state.products["b"].mean() > honest.products["b"].mean() + 0.15
    # Prices below the reference price multiply views by 1.2.
    effects = {"view_side_effect": 2.0 * np.log(1.2)}
    pooled = strategy.pool(state, signals(**low, **effects))
    expected = strategy.pool(honest, signals(**low))
    assert pooled.products["b"] == pytest.approx(expected.products["b"], abs=0.06)
    again = strategy.pool(pooled, signals(**low, **effects))
    assert again.products["b"] == pytest.approx(pooled.products["b"], abs=0.02)
    assert again.groups["view_side_effect"] == pytest.approx(effects["view_side_effect"])
    # A state of an earlier release is based on the effects that were in force.
    groups = {name: values for name, values in state.groups.items() if name not in effects}
    former = strategy.pool(State(state.products, groups), signals(**low, **effects))
    assert former.products["b"] == pytest.approx(strategy.pool(state, signals(**low)).products["b"], abs=1e-6)


def test_variances_grow_while_a_product_is_out_of_stock() -> None:
    gone = signals(views=0.0, units=0.0, days=0.0, stock=0.0)
    before = believing(gone, c11=0.3)
    after = ElasticityLearning().update(before, gone)
    assert after.products["a"] == before.products["a"]
    assert after.products["c00"] - before.products["c00"] == pytest.approx(0.005, abs=1e-6)
    # Towards the prior's variance of 0.81, by 0.0005 / 0.81 of the difference.
    assert after.products["c11"] - before.products["c11"] == pytest.approx(0.0005 * (0.812 - 0.3) / 0.81, abs=1e-6)


def after_update(policy: PricingStrategy, seen: Signals, **columns: float) -> State:
    """The state after an epoch with these signals that began with these columns."""
    return policy.update(believing(seen, policy, **columns), seen)


QUIET = {"views": 0.0, "units": 0.0, "cost": 54_00, "fee": 1_000}
"""No evidence, and a break-even price of 60.00."""


def test_the_proposed_price_is_the_optimum_of_the_elasticity() -> None:
    plain = ElasticityLearning(caution=0.0, vary=False, pace=1.0, margin=0.0, unproven_margin=0.0, slope=0.0)
    seen = signals(**QUIET)
    # 60 + 100 / 2 at the present price; the elasticity is steeper at higher prices.
    first = after_update(plain, seen, b=-2.0, c11=0.1)
    assert wanted(plain, first, seen) == (pytest.approx(110_00), Motive.LEARNED)
    seen = signals(**QUIET, price=110_00)
    second = plain.update(first, seen)
    assert wanted(plain, second, seen)[0] == pytest.approx(60_00 + 110_00 / (2 * 1.1**0.25))
    quiet = signals(**QUIET)
    assert wanted(plain, after_update(plain, quiet, b=-2.0), quiet)[1] is Motive.TRYING, "nothing is known yet"
    assert wanted(plain, after_update(plain, quiet, b=-0.1), quiet)[0] == pytest.approx(60_00 + 100_00 / 0.8)


@pytest.mark.parametrize(
    ("b", "deviation", "price"),
    [
        # At 100.00 the price is optimal for an elasticity of -2.5.
        (-2.5, 0.1, None),
        (-2.7, 0.5, None),
        (-2.3, 0.5, None),
        (-2.9, 0.5, 60_00 + 100_00 / 2.65),
        (-2.0, 0.5, 60_00 + 100_00 / 2.25),
    ],
)
def test_the_seller_s_price_is_kept_unless_another_one_is_likely_to_earn_more(
    b: float, deviation: float, price: float | None
) -> None:
    plain, seen = (
        ElasticityLearning(caution=0.0, vary=False, pace=1.0, margin=0.5, unproven_margin=0.0, slope=0.0),
        signals(**QUIET),
    )
    proposed = wanted(plain, after_update(plain, seen, b=b, c11=deviation**2), seen)
    if price is None:
        assert np.isnan(proposed[0])
        assert proposed[1] is Motive.NOT_BETTER
    else:
        assert proposed == (pytest.approx(price), Motive.LEARNED)


def test_a_price_that_was_set_by_hand_replaces_the_kept_one() -> None:
    plain = ElasticityLearning(caution=0.0, vary=False)
    learned = after_update(plain, signals(**QUIET), b=-2.5, c11=0.01)
    assert learned.products["kept"] == pytest.approx([100_00])
    # 104.00 is 5 % away from the optimum, so a step of 4 % follows; a policy's own price is no new start.
    by_hand = signals(**QUIET, price=104_00, since_edit=6.0, since_change=7.0)
    assert plain.update(learned, by_hand).products["kept"] == pytest.approx([102_00], abs=1_00)
    own = signals(**QUIET, price=104_00, since_change=7.0)
    assert plain.update(learned, own).products["kept"] == pytest.approx([100_00])


def test_elasticity_learning_samples_an_elasticity_and_varies_prices_by_three_percent() -> None:
    seen = signals(cost=60_00)
    state = believing(seen, b=-2.5, c11=0.16, tries=1.0)
    width = min(0.5 * 0.4 / 2.5**2, 0.03)
    up = seeded_random.sign(seen.product, 8, seed=3, use=1)[0]
    assert wanted(ElasticityLearning(seed=3, pace=1.0), state, seen, 8)[0] == pytest.approx(
        100_00 * (1 + width * seeded_random.normal(seen.product, 8, seed=3)[0]) * exp(0.03 * up)
    )
    prices = {wanted(ElasticityLearning(seed=3, pace=1.0), state, seen, epoch)[0] for epoch in range(20)}
    assert len(prices) == 20


def test_prices_vary_only_where_sales_repay_it() -> None:
    """Variations teach in proportion to sales, and are worth the less, the better the elasticity is known."""
    strategy = ElasticityLearning()
    seen = signals(views=[1_000, 1_000, 20], units=[25, 25, 0])
    known = {"a": np.log(0.025), "b": -2.5, "c11": np.array([0.5, 0.01, 0.5])}
    assert strategy.update(believing(seen, **known), seen).products["tries"].tolist() == [1.0, 0.0, 0.0]
    season = Inventory()
    ends = seen.with_columns(days_left=np.full(3, 7.0))
    assert season.update(believing(ends, season, **known), ends).products["tries"].tolist() == [0.0] * 3


def test_a_price_at_the_seller_s_limit_still_varies() -> None:
    """Otherwise, level and slope of demand could not be told apart."""
    strategy, seen = ElasticityLearning(), signals(cost=90_00, max_price=100_00)
    state = believing(seen, b=-1.0, c11=0.3, kept=104_00.0, tries=1.0)
    prices = {round(wanted(strategy, state, seen, epoch)[0]) for epoch in range(20)}
    assert sum(price < 99_00 for price in prices) >= 4


def test_a_purchase_of_several_units_is_one_event() -> None:
    single, bulk = signals(units=25.0), signals(units=250.0, orders=25.0)
    start = ElasticityLearning().start(single, {})
    assert (
        ElasticityLearning().update(start, bulk).products["a"]
        == ElasticityLearning().update(start, single).products["a"]
    )


def test_a_new_mark_up_of_a_product_does_not_change_what_is_learned_of_others() -> None:
    strategy = ElasticityLearning()
    both = signals(price=[100_00, 100_00], since_edit=[3.0, np.inf], seller_price=[130_00, -1])
    begun = call_start(strategy, signals(price=[100_00, 100_00]), {})
    # The prior of the first product changes; the second one's estimate is less certain than its prior.
    state = State({**begun.products, "c11": np.array([0.5, 1.5])}, begun.groups)
    together = call_update(strategy, state, both)
    alone = call_update(strategy, state.rows(slice(1, 2)), both.rows(slice(1, 2)))
    assert together.products["markup"][0] != state.products["markup"][0]
    for name, values in alone.products.items():
        assert np.array_equal(together.products[name][1], values[0], equal_nan=True)


def test_a_price_lowered_by_hand_teaches_once_it_has_stayed() -> None:
    """Sellers advertise promotions, so that a price which is lower for a week is not the only reason for its sales."""
    strategy, usual = ElasticityLearning(), signals()
    state = strategy.update(strategy.start(usual, {}), usual)
    by_hand = signals(price=80_00, units=80, since_edit=6.0, since_change=7.0)
    first = strategy.update(state, by_hand)
    assert first.products["b"] == pytest.approx(state.products["b"], abs=0.02)
    second = strategy.update(first, signals(price=80_00, units=80, since_edit=13.0, since_change=14.0))
    assert second.products["b"] < state.products["b"] - 0.1
    own = strategy.update(state, signals(price=80_00, units=80, since_change=7.0))
    assert own.products["b"] < state.products["b"] - 0.1


def test_a_price_is_kept_longer_while_the_fit_of_mark_ups_is_unknown() -> None:
    plain, seen = ElasticityLearning(caution=0.0, vary=False, pace=1.0, slope=0.0), signals(**QUIET)
    unknown = believing(seen, plain, b=-2.2, c11=0.6**2)
    judged = State(unknown.products, {**unknown.groups, "share_variance": np.zeros(1)})

    assert plain.update(unknown, seen).products["kept"][0] == pytest.approx(100_00)
    assert plain.update(judged, seen).products["kept"][0] > 101_00


@pytest.mark.parametrize("policy", [ElasticityLearning(), ControlledVariance(), Inventory()])
def test_elasticity_learning_proposes_steps_below_the_breaker_limit(policy: ElasticityLearning) -> None:
    """More than 4 % of too many prices would trip the breaker in every run."""
    seen = signals(cost=[1_00, 300_00], stock=5.0, days_left=30.0)
    prices = policy.propose(after_update(policy, seen, b=-2.0), seen, 1).prices
    assert prices[1] > 100_00
    assert (np.abs(prices - 100_00) <= 4_00).all()


def test_products_without_a_cost_keep_the_reference_price_until_sales_differ() -> None:
    seen = signals(cost=-1, views=0.0, units=0.0)
    plain = ElasticityLearning(caution=0.0, vary=False, pace=1.0)
    assert np.isnan(wanted(plain, after_update(plain, seen, b=-2.4), seen)[0])
    assert wanted(plain, after_update(plain, seen, b=-4.0), seen)[0] < 100_00
    assert wanted(plain, after_update(plain, seen, b=-1.5), seen)[0] > 100_00


def test_controlled_variance_keeps_a_distance_from_the_mean_without_random_numbers() -> None:
    policy = ControlledVariance(pace=1.0)
    seen = signals(cost=60_00, views=0.0, units=0.0)
    state = policy.start(seen, {})
    for _ in range(9):
        state = policy.update(state, seen)
    apart = 0.04 * sqrt(10 / 9 * (10**0.51 - 9**0.51))
    # The kept price is closer to the mean of 100 than the minimum distance.
    price, motive = wanted(policy, state, seen)
    assert (price, motive) == (pytest.approx(100_00 * (1 + apart)), Motive.TRYING)
    assert {wanted(policy, state, seen, epoch)[0] for epoch in range(5)} == {price}
    far = evolve(state, products={**state.products, "kept": np.array([110_00.0])})
    assert wanted(policy, far, seen) == (pytest.approx(110_00), Motive.LEARNED)


@pytest.mark.parametrize(
    ("stock", "days_left", "distance"),
    [
        (1e9, 28, None),
        (float("inf"), 28, None),
        (50, float("inf"), None),
        # The 4,000 views in 28 days give 100 sales at 100.00, and 50 at the price at which exp(-2.4 x) is one half.
        (50, 28, np.log(2) / 2.4),
    ],
)
def test_inventory_raises_prices_if_the_stock_must_last(stock: float, days_left: float, distance: float | None) -> None:
    policy = Inventory(caution=0.0, vary=False, pace=1.0)
    seen = signals(stock=stock, days_left=days_left, cost=60_00)
    state = policy.start(seen, {})
    state = evolve(state, products={**state.products, "a": np.log([0.025]), "b": np.array([-2.4])})
    assert policy.update(state, seen).products["views_a_day"] == pytest.approx([1_000 / 7])
    state = evolve(state, products={**state.products, "views_a_day": np.array([1_000 / 7])})
    if distance is None:
        price, motive = wanted(policy, state, seen)
        assert np.isnan(price)
        assert motive is Motive.NOT_BETTER
    else:
        price = price_at(np.array([distance]), np.array([100_00.0]))[0]
        assert wanted(policy, state, seen) == (pytest.approx(price), Motive.STOCK_SHORT)
        # The same stock lasts half as long if customers buy two at a time.
        pairs = evolve(state, products={**state.products, "units_per_purchase": np.array([2.0])})
        assert wanted(policy, pairs, seen)[0] > price


def test_inventory_ignores_the_cost_of_perishable_goods() -> None:
    seen = signals(stock=1e9, days_left=28, cost=60_00, views=0.0, units=0.0)
    plain = Inventory(caution=0.0, vary=False, margin=0.0, unproven_margin=0.0, slope=0.0)
    fresh = Inventory(caution=0.0, vary=False, margin=0.0, unproven_margin=0.0, slope=0.0, perishable=True)
    for policy, price in ((plain, 101_00), (fresh, 96_00)):
        assert policy.update(believing(seen, policy, b=-2.4), seen).products["kept"] == pytest.approx([price], abs=70)


# --- rules


class Climber:
    """One product that climbs without guardrails."""

    def __init__(self, **more: Any) -> None:
        self.policy = HillClimb(step=0.05)
        self.seen = signals(product=2, **more)
        self.state = self.policy.start(self.seen, {})

    def week(self, price: int, units: float, views: float = 1_000, **more: Any) -> tuple[Any, Motive]:
        self.seen = signals(product=2, price=price, views=views, units=units, **more)
        self.state = self.policy.update(self.state, self.seen)
        return wanted(self.policy, self.state, self.seen)


def test_hill_climb_holds_a_price_until_enough_units_or_weeks() -> None:
    climber = Climber()
    price, motive = climber.week(100_00, 24)
    assert (np.isnan(price), motive) == (True, Motive.WAITING)
    assert climber.week(100_00, 1) == (pytest.approx(105_00), Motive.TRYING)
    slow = Climber()
    for _ in range(7):
        assert slow.week(100_00, 1)[1] is Motive.WAITING
    assert slow.week(100_00, 1) == (pytest.approx(105_00), Motive.TRYING)


def test_hill_climb_continues_while_profit_per_view_rises_and_turns_when_it_falls() -> None:
    climber = Climber()
    climber.week(100_00, 30)
    # Profit rises from 40 · 30.5 to 45 · 28.5, and again at 110.25; at 115.76 it falls.
    assert climber.week(105_00, 28) == (pytest.approx(110_25), Motive.PROFIT_ROSE)
    assert climber.week(110_25, 27) == (115_76, Motive.PROFIT_ROSE)
    assert climber.week(115_76, 25, views=2_000) == (109_98, Motive.PROFIT_FELL)
    assert climber.week(109_97, 60, views=2_000)[0] == 104_48


def test_hill_climb_turns_if_a_guardrail_prevents_the_step() -> None:
    climber = Climber()
    assert climber.week(100_00, 30)[0] == pytest.approx(105_00)
    assert climber.week(100_00, 30)[0] == pytest.approx(95_00)


def test_hill_climb_climbs_with_stock_that_need_not_last() -> None:
    limited, unlimited = Climber(), Climber()
    steps = [(limited.week(100_00, 70, stock=40.0), unlimited.week(100_00, 70)) for _ in range(4)]
    assert [few for few, _ in steps] == [many for _, many in steps]
    assert steps[-1][0][0] != 100_00


def test_hill_climb_raises_prices_of_short_stock_and_lowers_them_again() -> None:
    climber = Climber()
    plenty = {"stock": 10_000.0, "days_left": 28.0}
    for _ in range(20):
        climber.week(100_00, 70, **plenty)
    # At ten sales a day, 140 units last for 14 of the 28 days.
    price, motive = climber.week(100_00, 70, stock=140.0, days_left=28.0)
    assert motive is Motive.STOCK_SHORT
    assert price == pytest.approx(100_00 * 1.1)
    price, motive = climber.week(105_00, 70, stock=260.0, days_left=28.0)
    assert (price, motive) == (105_00, Motive.HOLD)
    price, motive = climber.week(105_00, 70, stock=1_000.0, days_left=28.0)
    assert (price, motive) == (100_00, Motive.STOCK_LONG)
    assert climber.week(100_00, 70, stock=1_000.0, days_left=28.0)[1] is not Motive.STOCK_LONG


@pytest.mark.parametrize(
    ("measure", "expected", "units", "factor", "motive"),
    [
        ("units", 100.0, 116, None, Motive.HOLD),
        ("units", 100.0, 117, 1.03, Motive.DEMAND_ABOVE),
        ("units", 100.0, 84, None, Motive.HOLD),
        ("units", 100.0, 83, 0.97, Motive.DEMAND_BELOW),
        ("units", 0.0, 0, None, Motive.HOLD),
        ("conversion", 0.1, 117, 1.03, Motive.DEMAND_ABOVE),
        ("conversion", 0.2, 117, 0.97, Motive.DEMAND_BELOW),
    ],
)
def test_a_threshold_acts_on_significant_differences(
    measure: str, expected: float, units: float, factor: float | None, motive: Motive
) -> None:
    policy = Threshold(measure=measure, wanted=expected)
    seen = signals(units=units)
    state = policy.update(policy.start(seen, {}), seen)
    price, why = wanted(policy, state, seen)
    assert why is motive
    assert np.isnan(price) if factor is None else price == pytest.approx(100_00 * factor)


def test_a_threshold_waits_for_its_window_and_restarts_after_a_price_change() -> None:
    policy, seen = Threshold(wanted=100.0, window_days=14), signals(units=10)
    state = policy.update(policy.start(seen, {}), seen)
    assert wanted(policy, state, seen)[1] is Motive.WAITING
    state = policy.update(state, seen)
    assert wanted(policy, state, seen)[1] is Motive.DEMAND_BELOW
    moved = signals(units=10, price=97_00)
    assert wanted(policy, policy.update(state, moved), moved)[1] is Motive.WAITING


def test_a_threshold_without_raises_only_lowers_prices() -> None:
    policy, seen = Threshold(wanted=10.0, raises=False), signals(units=1_000)
    assert wanted(policy, policy.update(policy.start(seen, {}), seen), seen)[1] is Motive.HOLD


# --- lists of prices, linear demand


def test_a_price_grid_finds_the_price_of_highest_profit() -> None:
    prices = (80_00, 100_00, 120_00, 140_00)
    rates = dict(zip(prices, (0.20, 0.12, 0.11, 0.02), strict=True))
    policy, rng = PriceGrid(prices=prices), np.random.default_rng(1)
    seen = signals(product=np.arange(50), price=np.full(50, 100_00), views=0.0, units=0.0, cost=60_00)
    state = policy.start(seen, {})
    for epoch in range(120):
        price = policy.propose(state, seen, epoch).prices.astype(np.int64)
        bought = rng.binomial(200, [rates[int(p)] for p in price])
        seen = seen.with_columns(price=price, views=np.full(50, 200.0), units=bought.astype(float))
        state = policy.update(state, seen)
    # (80 - 60) · 0.20 = 4.0, (100 - 60) · 0.12 = 4.8, (120 - 60) · 0.11 = 6.6, (140 - 60) · 0.02 = 1.6
    assert (seen.price == 120_00).mean() > 0.9


def test_a_price_grid_without_prices_is_centred_on_the_reference() -> None:
    seen = signals()
    price, _ = wanted(PriceGrid(), PriceGrid().start(seen, {}), seen)
    assert price in {100_00 * share // 100 for share in range(70, 131, 5)}


def test_linear_demand_matches_exact_regression() -> None:
    policy = LinearDemand(caution=0.0)
    seen = signals(cost=0, reference=10_000, price=10_000, views=1.0, units=0.0)
    state, rng = policy.start(seen, {}), np.random.default_rng(2)
    assert wanted(policy, state, seen)[0] == pytest.approx(10_000 * 1.1 / (2 * 0.575))
    for _ in range(500):
        p = rng.uniform(0.5, 2)
        sold = 0.9 - 0.4 * p + rng.normal(0, 0.2)
        state = policy.update(state, signals(cost=0, reference=10_000, price=round(10_000 * p), views=1.0, units=sold))
    assert wanted(policy, state, seen)[0] == pytest.approx(10_000 * 0.9 / 0.8, rel=0.1)
    unseen = policy.update(state, signals(cost=0, reference=10_000, price=10_000, views=0.0, units=0.0))
    assert unseen.products["a"] == state.products["a"]


# --- parameters

OTHER: dict[tuple[str, str], Any] = {
    ("threshold", "measure"): "conversion",
    ("elasticity_learning", "repaid_weeks"): 10.0,
    ("inventory", "repaid_weeks"): 1.0,
    ("inventory", "caution"): 0.0,
    ("price_grid", "prices"): [50_00, 100_00, 150_00],
    ("price_list_inventory", "prices"): [50_00, 100_00, 150_00],
    ("substitutes", "most_diverted"): 0.01,
    ("competitor", "most_undercut"): 0.0,
}


def varied() -> list[tuple[str, str, Any]]:
    """Each parameter of each strategy with a value other than its default."""
    cases = []
    for cls in BUILT_IN:
        for attribute in attrs.fields(cls):
            rule, default = attribute.metadata["rule"], attribute.default
            if (cls.name, attribute.name) in OTHER:
                value = OTHER[cls.name, attribute.name]
            elif isinstance(default, bool):
                value = not default
            elif isinstance(default, int) and attribute.name == "seed":
                value = default + 1
            else:
                value = type(default)(min(rule["at_most"], max(rule["at_least"], default * 3 + 1)))
                value = value if value != default else rule["at_least"]
            cases.append((cls.name, attribute.name, value))
    return cases


def prices_proposed(name: str, values: dict[str, Any]) -> list[bytes]:
    """The proposals of 40 epochs, in a world with scarce stock, unknown costs, competitors, and substitutes in two
    categories.
    """
    strategy, state, price, proposals = strategy_named(name, values), None, np.full(40, 100_00), []
    rng, rivals, group = np.random.default_rng(3), np.random.default_rng(4), np.arange(40) % 2
    traffic = np.array([20, 400, 400, 400, 4_000])[np.arange(40) % 5]
    rival = np.full(40, 110_00)
    for epoch in range(40):
        others = np.exp(np.bincount(group, weights=price) / 20 / 100_00 - 1.0)[group]
        seen = signals(
            product=np.arange(1, 41), group=group, price=price, reference=100_00,
            cost=np.where(np.arange(40) % 3, 60_00, -1), views=rng.poisson(traffic), days=7.0,
            units=rng.poisson(traffic * 0.03 * (price / 100_00) ** -3.0 * others * np.where(price > rival, 0.5, 1.0)),
            stock=np.where(np.arange(40) % 4, 900, 60), days_left=70.0, competitor=rivals.integers(80_00, 120_00, 40),
            competitor_days=np.arange(40) % 9,
        )  # fmt: skip
        rival = np.where(np.arange(40) % 9 <= 7, seen.competitor, 200_00)
        state = call_start(strategy, seen, {}) if state is None else call_update(strategy, state, seen)
        if epoch % 4 == 3:
            state = call_pool(strategy, state, seen)
        proposed = call_propose(strategy, state, seen, epoch)
        proposals.append(proposed.prices.tobytes())
        price = np.where(np.isnan(proposed.prices), price, proposed.prices).clip(50_00, 200_00).astype(np.int64)
    return proposals


@cache
def prices_by_default(name: str) -> list[bytes]:
    return prices_proposed(name, {})


@pytest.mark.parametrize("name", sorted({name for name, _, _ in varied()}))
def test_a_strategy_proposes_the_same_prices_again(name: str) -> None:
    assert prices_proposed(name, {}) == prices_by_default(name)


@pytest.mark.parametrize(("name", "parameter", "value"), varied(), ids=str)
def test_every_parameter_of_a_strategy_changes_its_proposals(name: str, parameter: str, value: Any) -> None:
    assert prices_proposed(name, {parameter: value}) != prices_by_default(name)
