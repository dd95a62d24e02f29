"""Simulated experiments: intervals contain the true lift as often as they claim, and looking early is safe.

`python -m bench.experiments` runs a thousand experiments of full size.
"""

import pytest
from attrs import evolve

from scalecommerce_core.pricing.learning import ElasticityLearning
from scalecommerce_core.simulation.experiment_panels import ShopModel, simulate_hold_out, simulate_switchback
from scalecommerce_core.simulation.market_experiments import run_market_experiment
from scalecommerce_core.simulation.marketplace import Marketplace

SHOP = ShopModel(products=500, weeks_before=16, weeks=12, share=0.25)
RUNS = 150


@pytest.mark.parametrize(("shop", "least"), [(SHOP, 0.9), (evolve(SHOP, zipf=True), 0.9)], ids=["base", "zipf"])
def test_intervals_contain_the_true_lift(shop: ShopModel, least: float) -> None:
    contained, widths = 0, []
    for seed in range(RUNS):
        panel = simulate_hold_out(shop, 31, seed)
        estimate = panel.estimate(shop.weeks)
        assert estimate is not None
        interval = estimate.fixed_interval()
        contained += interval.low <= panel.lift[-1] <= interval.high
        widths.append(interval.half_width)
    assert contained / RUNS >= least
    if not shop.zipf:
        assert sorted(widths)[RUNS // 2] < 0.1


def test_looking_every_week_raises_few_false_alarms() -> None:
    same = evolve(SHOP, lift=0.0, lift_spread=0.0)
    alarms = 0
    for seed in range(RUNS):
        panel = simulate_hold_out(same, 32, seed)
        estimates = [(week, panel.estimate(week)) for week in range(1, SHOP.weeks + 1)]
        intervals = [each.repeated_interval(week / SHOP.weeks) for week, each in estimates if each is not None]
        alarms += any(not interval.low <= 0.0 <= interval.high for interval in intervals)
    assert alarms / RUNS <= 0.08


def test_switchbacks_contain_the_true_lift() -> None:
    shop = evolve(SHOP, products=100, weeks=48)
    contained = 0
    for seed in range(RUNS):
        switchback = simulate_switchback(shop, 33, seed)
        estimate = switchback.estimate(24)
        assert estimate is not None
        interval = estimate.fixed_interval()
        contained += interval.low <= switchback.lift <= interval.high
    assert 0.9 <= contained / RUNS <= 0.99


def test_an_experiment_in_a_simulated_marketplace_finds_what_the_policy_earns() -> None:
    found = run_market_experiment(
        lambda: Marketplace(demand="semi-log", drifting=False, seed=5, products=800, epochs=40),
        ElasticityLearning(),
        weeks_before=16,
        weeks=24,
        share=0.25,
    )
    held = found.is_held_out
    assert held.sum() == 200
    assert (found.last_price[held] == found.own_price[held]).all()
    assert (found.last_price[~held] != found.own_price[~held]).mean() > 0.9
    estimate = found.estimate()
    assert estimate is not None
    interval = estimate.fixed_interval()
    assert interval.low < found.lift < interval.high
    assert interval.half_width < 0.08
