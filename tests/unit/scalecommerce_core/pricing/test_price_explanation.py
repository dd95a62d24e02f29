"""What is shown of the demand that a strategy has learnt."""

from typing import Any

import numpy as np
import pytest
from attrs import frozen

from scalecommerce_core.pricing.built_in import BUILT_IN
from scalecommerce_core.pricing.explaining import explain_inputs
from scalecommerce_core.pricing.guardrails import price_bounds
from scalecommerce_core.pricing.interface import EstimatesDemand, temporarily_registered
from scalecommerce_core.pricing.price_explanation import POINTS, learnt_demand, views_a_week
from scalecommerce_core.pricing.replay import Inputs, pack_inputs, unpack_inputs
from scalecommerce_core.pricing.signals import Signals
from tests.unit.support.pricing_signals import learned, policy, signals

LEARNING = sorted(strategy.name for strategy in BUILT_IN if issubclass(strategy, EstimatesDemand))
LISTING = {"price_grid", "price_list_inventory"}


def stored(name: str = "elasticity_learning", seen: Signals | None = None, **parameters: Any) -> Inputs:
    """The inputs of a decision after the first epoch."""
    chosen = policy(policy=name, parameters=parameters)
    seen = signals(stock=500, days_left=60.0, median_90d=100_00) if seen is None else seen
    return pack_inputs(chosen, learned(chosen.strategy(), seen), seen, 3)


def test_unpacked_inputs_are_those_that_were_packed() -> None:
    found = unpack_inputs(stored())
    assert (found.policy.policy, found.signals.price.tolist()) == ("elasticity_learning", [100_00])
    assert "b" in found.state.products


def test_the_learning_strategies_estimate_demand() -> None:
    filters = {"elasticity_learning", "controlled_variance", "inventory", "substitutes", "competitor"}
    assert sorted(filters | {"linear_demand"} | LISTING) == LEARNING


@pytest.mark.parametrize("name", LEARNING)
def test_a_curve_lies_within_the_bounds_and_its_band(name: str) -> None:
    inputs = stored(name)
    found = learnt_demand([inputs])
    seen = unpack_inputs(inputs).signals
    floor, ceiling = (int(bound[0]) for bound in price_bounds(seen, policy().guardrails))
    assert (found.floor, found.ceiling, found.own_price) == (floor, ceiling, 100_00)
    assert found.note is None
    curve = found.curve
    assert curve is not None
    assert curve.views == 1_000
    prices = [point.price for point in curve.points]
    assert prices == sorted(set(prices))
    assert prices[0] >= floor
    assert prices[-1] <= ceiling
    if name not in LISTING:
        assert (prices[0], prices[-1]) == (60_00, 130_00)
        assert POINTS <= len(prices) <= POINTS + 2
        assert {100_00, curve.best} <= set(prices)
    units = [point.units for point in curve.points]
    assert all(0 <= each.low <= each.expected <= each.high for each in units)
    assert units[0].expected > units[-1].expected
    for point in curve.points:
        assert point.profit is not None
        assert point.profit.low <= point.profit.expected <= point.profit.high
        assert point.profit.expected == pytest.approx((point.price - 60_00) * point.units.expected)
    best = max(curve.points, key=lambda point: point.profit.expected if point.profit else 0.0)
    assert best.price == curve.best


def test_sales_at_the_present_price_are_those_that_were_seen() -> None:
    """After many epochs at one price the curve passes through its sales."""
    chosen = policy()
    seen = signals(median_90d=100_00)
    state = learned(chosen.strategy(), seen)
    for _ in range(40):
        state = chosen.strategy().update(state, seen)
    curve = learnt_demand([pack_inputs(chosen, state, seen, 40)]).curve
    assert curve is not None
    (present,) = (point for point in curve.points if point.price == 100_00)
    assert present.units.expected == pytest.approx(25, rel=0.1)
    assert present.units.low > 15
    assert present.units.high < 40
    far = max(curve.points, key=lambda point: point.price)
    assert far.units.high / far.units.low > present.units.high / present.units.low


def test_a_price_above_a_known_competitor_sells_less() -> None:
    chosen = policy(policy="competitor")
    seen = signals(median_90d=100_00, competitor=95_00, competitor_days=1.0)
    state = learned(chosen.strategy(), seen)
    groups = {**state.groups, "competitor_loss": np.array([0.7])}
    curve = learnt_demand([pack_inputs(chosen, type(state)(state.products, groups), seen, 3)]).curve
    plain = learnt_demand([pack_inputs(chosen, state, seen, 3)]).curve
    assert curve is not None
    assert plain is not None
    shares = {point.price: point.units.expected for point in plain.points}
    for point in curve.points:
        if point.price in shares:
            assert point.units.expected / shares[point.price] == pytest.approx(
                np.exp(-0.7) if point.price > 95_00 else 1
            )


def test_fees_reduce_the_profit_and_costs_of_perishables_do_not() -> None:
    with_fee = stored(seen=signals(fee=1_000, median_90d=100_00))
    curve = learnt_demand([with_fee]).curve
    assert curve is not None
    point = curve.points[-1]
    assert point.profit is not None
    assert point.profit.expected == pytest.approx((0.9 * point.price - 60_00) * point.units.expected)
    perishable = learnt_demand([stored("inventory", perishable=True)]).curve
    assert perishable is not None
    point = perishable.points[-1]
    assert point.profit is not None
    assert point.profit.expected == pytest.approx(point.price * point.units.expected)


def test_views_are_those_of_the_last_epochs() -> None:
    week, half, none = (stored(seen=signals(views=views, days=days)) for views, days in ((700, 7), (50, 3.5), (0, 0)))
    assert views_a_week([week, half, none]) == pytest.approx(750 * 7 / 10.5)
    assert views_a_week([none]) == 0


@pytest.mark.parametrize(
    ("decided", "key"),
    [
        ([], "curve.no_decision"),
        ([stored("hill_climb")], "curve.not_learnt"),
        ([stored("threshold")], "curve.not_learnt"),
        ([stored(seen=signals(views=0, units=0))], "curve.no_views"),
    ],
)
def test_without_a_curve_the_reason_is_said(decided: list[Inputs], key: str) -> None:
    found = learnt_demand(decided)
    assert found.curve is None
    assert found.note is not None
    assert found.note.key == key
    assert found.note.text.endswith(".")


def test_an_unknown_cost_leaves_out_profits() -> None:
    found = learnt_demand([stored(seen=signals(cost=-1, median_90d=100_00))])
    assert found.curve is not None
    assert {point.profit for point in found.curve.points} == {None}
    assert found.curve.best is None
    assert found.note is not None
    assert found.note.key == "curve.unknown_cost"


def test_a_state_of_an_earlier_release_has_no_curve() -> None:
    seen = signals()
    chosen = policy()
    state = learned(chosen.strategy(), seen)
    products = {name: values for name, values in state.products.items() if name != "kept"}
    found = learnt_demand([pack_inputs(chosen, type(state)(products, state.groups), seen, 1)])
    assert (found.curve, found.note and found.note.key) == (None, "curve.earlier_release")
    assert found.floor == 60_00


def test_a_strategy_that_is_not_installed_or_fails_is_named() -> None:
    base = next(strategy for strategy in BUILT_IN if strategy.name == "linear_demand")

    @frozen
    class Failing(base):  # type: ignore[valid-type,misc]
        name = "failing"

        def estimate_demand(self, state: Any, signals: Any, prices: Any) -> Any:
            del state, signals, prices
            raise RuntimeError("no such luck")

    with temporarily_registered(Failing):
        inputs = stored("failing")
        failed = learnt_demand([inputs])
    assert failed.note is not None
    assert failed.note.text == "The strategy failing failed to estimate the demand: no such luck"
    unknown = learnt_demand([inputs])
    assert unknown.note is not None
    assert unknown.note.key == "curve.not_installed"


def test_the_belief_is_described() -> None:
    assert "elasticity" in explain_inputs(stored())["belief"]
