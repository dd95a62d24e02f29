from itertools import pairwise
from math import exp, log
from typing import Any

import numpy as np
import pytest

from scalecommerce_core.pricing.delayed_sales import Delay, correct_belief, estimate_delay, observe_delay
from scalecommerce_core.pricing.demand_curve import fourth_root, next_price, price_at, price_distance
from scalecommerce_core.pricing.demand_filter import (
    Belief,
    Drift,
    Forecast,
    observe_sales,
    revert_slope,
    update_belief,
)
from scalecommerce_core.pricing.sales_noise import Errors, estimate_noise, estimate_walk, update_errors
from scalecommerce_core.pricing.shrinkage import MEANS, ROOT_MEAN, VARIANCES, Priors, estimate_priors, swap_prior


def belief(*values: float) -> Belief:
    return Belief(*(np.array([value]) for value in values))


def scalar(state: list[float], x: float, views: float, units: float, weeks: float) -> list[float]:
    """The filter for one product, by the formulas of docs/pricing.md."""
    a, b, c00, c01, c11 = state
    c00 += 0.005 * weeks
    c11 += 0.0005 * weeks
    if views == 0:
        return [a, b, c00, c01, c11]
    lam = views * exp(min(max(a + b * x, -9), 0))
    known = c00 + 2 * x * c01 + x * x * c11
    w = lam / 1.2 * (0.02 if units > 3 * (lam + 1) and known < 0.2 else 1)
    f = known + 1 / w
    k0, k1 = (c00 + x * c01) / f, (c01 + x * c11) / f
    r = min(max((units - lam) / max(lam, 0.5), -1), 3 * (1 + 10 * known))
    if abs(known / f * r) > 1e-6:
        r = log(1 + known / f * r) / (known / f)
    return [a + k0 * r, b + k1 * r, c00 - k0 * k0 * f, c01 - k0 * k1 * f, c11 - k1 * k1 * f]


def test_the_demand_filter_equals_its_formulas() -> None:
    rng = np.random.default_rng(1)
    state = [-3.7, -2.4, 0.25, 0.0, 0.81]
    seen = belief(*state)
    for _ in range(200):
        x, views = rng.uniform(-0.4, 0.4), float(rng.choice([0, 1, 40, 5_000]))
        units, weeks = float(rng.poisson(views * 0.05)), float(rng.choice([0.0, 0.4, 1.0]))
        state = scalar(state, x, views, units, weeks)
        seen = update_belief(
            seen, Drift(), x=np.array([x]), views=np.array([views]), units=np.array([units]), weeks=np.array([weeks])
        )
        assert np.concatenate(seen) == pytest.approx(state, rel=1e-9, abs=1e-12)


def test_the_covariance_stays_positive_definite() -> None:
    rng = np.random.default_rng(2)
    n = 2_000
    now = Belief(*(np.full(n, value) for value in (-3.7, -2.4, 0.25, 0.0, 0.81)))
    for _ in range(100):
        views = rng.poisson(np.exp(rng.uniform(-3, 9, n))).astype(float)
        units = np.minimum(views, rng.poisson(views * rng.uniform(0, 0.4, n)))
        now = update_belief(now, Drift(), x=rng.uniform(-0.6, 1.5, n), views=views, units=units, weeks=np.ones(n))
        assert (now.c00 > 0).all()
        assert (now.c11 > 0).all()
        assert (now.c00 * now.c11 - now.c01**2 > 0).all()
        assert np.isfinite(now.a + now.b).all()


def test_the_demand_filter_finds_an_elasticity_and_follows_its_changes() -> None:
    rng = np.random.default_rng(3)
    now = belief(-3.7, -2.4, 0.25, 0.0, 0.81)
    for week in range(300):
        true = -1.2 if week < 150 else -3.5
        x = rng.uniform(-0.2, 0.2)
        units = float(rng.poisson(3_000 * exp(-4.2 + true * x)))
        now = update_belief(
            now, Drift(), x=np.array([x]), views=np.array([3_000.0]), units=np.array([units]), weeks=np.ones(1)
        )
        if week in {149, 299}:
            assert now.b[0] == pytest.approx(true, abs=0.5)


def test_an_elasticity_returns_to_its_prior_without_exceeding_its_variance() -> None:
    now = belief(-3.7, -4.0, 0.1, 0.02, 0.1)
    for _ in range(5_000):
        now = revert_slope(now, np.array([-2.4]), np.array([0.81]), np.array([0.001]))
        assert now.c11[0] <= 0.81
    assert (now.b[0], now.c11[0]) == (pytest.approx(-2.4, abs=0.2), pytest.approx(0.81, abs=0.01))


def test_incredible_sales_hardly_change_a_known_demand() -> None:
    """Purchases that are refunded later can be forged, but not so that demand grows tenfold in a week unnoticed."""
    known, unknown = belief(-3.7, -2.4, 0.02, 0.0, 0.3), belief(-3.7, -2.4, 1.25, 0.0, 0.81)
    week = {"x": np.array([0.1]), "views": np.array([400.0]), "units": np.array([100.0]), "weeks": np.ones(1)}
    assert update_belief(known, Drift(), **week).b[0] == pytest.approx(-2.4, abs=0.05)
    assert update_belief(unknown, Drift(), **week).a[0] > -2.6


def test_a_level_that_was_far_off_is_not_taken_for_an_effect_of_the_price() -> None:
    """Ten times the expected conversion rate, while the price falls: the level rises, the elasticity hardly changes."""
    rng, now = np.random.default_rng(4), belief(-3.9, -2.4, 1.25, 0.0, 0.81)
    for day in range(12):
        x = np.array([-0.04 * day])
        units = rng.poisson(200 * 0.2 * np.exp(-2.0 * x)).astype(float)
        now = update_belief(now, Drift(), x=x, views=np.array([200.0]), units=units, weeks=np.full(1, 1 / 7))
    assert np.exp(now.a[0]) == pytest.approx(0.2, rel=0.3)
    assert now.b[0] == pytest.approx(-2.0, abs=0.6)


# --- distance of prices


def test_the_demand_curve_lies_between_constant_elasticity_and_exponential_demand() -> None:
    price, reference = np.array([50.0, 80.0, 100.0, 130.0, 200.0]), np.full(5, 100.0)
    x = price_distance(price, reference)
    assert price_at(x, reference) == pytest.approx(price)
    assert x[2] == 0
    assert (np.log(price / reference) <= x + 1e-12).all()
    assert (x <= price / reference - 1 + 1e-12).all()


@pytest.mark.parametrize("b", [-1.2, -2.4, -5.0])
def test_steps_of_the_optimal_price_end_at_the_curve_s_optimum(b: float) -> None:
    price = np.array([100.0])
    for _ in range(400):
        price = next_price(np.array([b]), price, np.array([60.0]), fourth_root(price / 100.0))
    grid = np.linspace(60.0, 1_500.0, 200_001)
    profit = (grid - 60.0) * np.exp(b * price_distance(grid, np.full(len(grid), 100.0)))
    assert price[0] == pytest.approx(grid[profit.argmax()], rel=1e-3)


# --- shrinkage


def test_a_swapped_prior_equals_learning_with_that_prior() -> None:
    """The expected result is that of a linear Gaussian filter in closed form, with the information of the prior
    replaced."""
    c = np.array([[0.2, -0.05], [-0.05, 0.3]])
    m = np.array([-3.0, -2.0])
    swap = np.diag([0.0, 1 / 0.5 - 1 / 0.81])
    precision = np.linalg.inv(c) + swap
    weighted = np.linalg.inv(c) @ m + np.array([0.0, -1.5 / 0.5 + 2.4 / 0.81])
    expected = np.linalg.inv(precision)
    after = swap_prior(
        belief(-3.0, -2.0, 0.2, -0.05, 0.3), np.array([-2.4]), np.array([0.81]), np.array([-1.5]), np.array([0.5])
    )
    assert [after.a[0], after.b[0]] == pytest.approx(list(expected @ weighted))
    assert [after.c00[0], after.c01[0], after.c11[0]] == pytest.approx([expected[0, 0], expected[0, 1], expected[1, 1]])


def test_swapping_a_prior_twice_restores_the_belief() -> None:
    before = belief(-3.0, -2.0, 0.2, -0.05, 0.3)
    one, two = (np.array([-2.4]), np.array([0.81])), (np.array([-1.2]), np.array([0.1]))
    assert np.concatenate(swap_prior(swap_prior(before, *one, *two), *two, *one)) == pytest.approx(
        np.concatenate(before)
    )


def test_a_belief_wider_than_its_prior_gets_the_new_prior() -> None:
    after = swap_prior(
        belief(-3.0, -2.4, 0.2, 0.0, 0.9), np.array([-2.4]), np.array([0.81]), np.array([-1.5]), np.array([0.1])
    )
    assert (after.b[0], after.c11[0]) == pytest.approx((-1.5, 0.1))


def simulated_beliefs(
    products: int, *, mean: float, spread: float, share: float, information: float, seed: int, groups: int = 2
) -> tuple[Any, ...]:
    """Group, mark-up, b and c11 of products that were learned about with the usual priors."""
    rng = np.random.default_rng(seed)
    group = np.arange(products) % groups
    markup = rng.uniform(-4.0, -1.8, products)
    true = rng.normal(mean + share * (markup - ROOT_MEAN), spread)
    variance = 1.0 / (information * rng.uniform(0.2, 2.0, products))
    own = rng.normal(true, np.sqrt(variance))
    prior_mean, prior_variance = Priors.usual(groups).of_products(group, markup)
    c11 = 1 / (1 / variance + 1 / prior_variance)
    return group, markup, c11 * (own / variance + prior_mean / prior_variance), c11


def repeated(priors: Priors, group: Any, markup: Any, b: Any, c11: Any, *, times: int = 10) -> list[Priors]:
    """Estimates after each of several poolings without new sales."""
    found, now = [], Belief(np.zeros_like(b), b, np.ones_like(b), np.zeros_like(b), c11)
    for _ in range(times):
        new = estimate_priors(priors, group, markup, now.b, now.c11)
        now = swap_prior(now, *priors.of_products(group, markup), *new.of_products(group, markup))
        priors = new
        found.append(new)
    return found


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("spread", [0.15, 0.6])
def test_the_distribution_of_a_category_is_recovered_from_its_products(share: float, spread: float) -> None:
    looked_at = simulated_beliefs(6_000, mean=-2.0, spread=spread, share=share, information=1.0, seed=4)
    last = repeated(Priors.usual(2), *looked_at)[-1]
    assert last.mean == pytest.approx([-2.0, -2.0], abs=0.08)
    assert last.markup_share == pytest.approx([share, share], abs=0.08)
    assert last.within == pytest.approx([spread**2] * 2, abs=0.08)
    # An estimate that shrinks is stable: the last poolings change nothing.
    assert repeated(last, *_swapped(looked_at, last), times=1)[0].mean == pytest.approx(last.mean, abs=0.01)


def _swapped(looked_at: tuple[Any, ...], priors: Priors) -> tuple[Any, ...]:
    """The same beliefs with the priors `priors`."""
    group, markup, b, c11 = looked_at
    now = Belief(np.zeros_like(b), b, np.ones_like(b), np.zeros_like(b), c11)
    usual = Priors.usual(len(priors.mean))
    now = swap_prior(now, *usual.of_products(group, markup), *priors.of_products(group, markup))
    return group, markup, now.b, now.c11


def test_hyperpriors_keep_estimates_from_few_weeks_stable() -> None:
    """With hardly any information, no parameter reaches a bound, and no pooling changes it by much."""
    looked_at = simulated_beliefs(3_000, mean=-2.0, spread=0.6, share=0.0, information=0.01, seed=5, groups=10)
    found = repeated(Priors.usual(10), *looked_at)
    for new in found:
        assert (np.abs(new.mean + 2.2) < 0.8).all()
        assert (new.within > 0.05).all()
        assert (new.within < 0.9).all()
    for before, after in pairwise(found[2:]):
        assert np.abs(after.mean - before.mean).max() < 0.1
        assert np.abs(np.log(after.within / before.within)).max() < 0.5


def test_a_small_category_is_near_the_seller_s_others_and_a_new_shop_near_published_elasticities() -> None:
    group, markup, b, c11 = simulated_beliefs(3_000, mean=-1.2, spread=0.2, share=0.0, information=1.0, seed=6)
    # Two products of a third category, of which nothing is known.
    small = np.append(group, [2, 2]), np.append(markup, [-2.4, -2.4]), np.append(b, [-2.4, -2.4])
    prior_variance = Priors.usual(3).of_products(np.array([2, 2]), np.array([-2.4, -2.4]))[1]
    new = estimate_priors(Priors.usual(3), *small, np.append(c11, prior_variance))
    assert new.mean[2] == pytest.approx(new.mean[:2].mean(), abs=0.3)
    assert new.variance[2] > new.variance[:2].max()
    nothing = estimate_priors(Priors.usual(1), np.zeros(2, int), markup[:2], np.full(2, -2.4), np.full(2, 9.0))
    assert nothing.mean == pytest.approx([ROOT_MEAN])
    assert nothing.markup_share == pytest.approx([0.35])


def test_wild_estimates_are_bounded() -> None:
    looked_at = simulated_beliefs(400, mean=30.0, spread=9.0, share=5.0, information=9.0, seed=7)
    for new in repeated(Priors.usual(2), *looked_at):
        for values in (new.mean, new.within, new.variance, new.markup_share):
            assert np.isfinite(values).all()
        assert (new.within <= VARIANCES[1]).all()
        assert (new.mean <= MEANS[1]).all()


def test_products_without_a_known_cost_take_part_without_a_mark_up() -> None:
    group, markup, b, c11 = simulated_beliefs(2_000, mean=-2.0, spread=0.5, share=0.0, information=1.0, seed=8)
    unknown = np.where(np.arange(2_000) % 3, markup, np.nan)
    usual = Priors.usual(2)
    b = np.where(np.isnan(unknown), -2.0, b)
    new = estimate_priors(usual, group, unknown, b, c11)
    assert np.isfinite(new.mean).all()
    mean, variance = new.of_products(group, unknown)
    assert mean[np.isnan(unknown)] == pytest.approx(new.mean[group[np.isnan(unknown)]])
    assert np.isfinite(variance).all()


# --- noise


def filtered(
    drift: float,
    walk: float,
    *,
    dispersion: float = 1.0,
    relative_noise: float = 0.0,
    assumed: float = 0.0,
    views: float = 1_000.0,
    products: int = 400,
    weeks: int = 60,
) -> Errors:
    """Errors of a filter that assumes `walk` and the relative noise `assumed`, of sales whose level drifts by `drift` a
    week. Half of the products have ten times the views of the others.
    """
    rng = np.random.default_rng(9)
    level, zero = np.full(products, -3.5), np.zeros(products)
    now = Belief(level, np.full(products, -2.4), np.full(products, 0.1), zero, np.full(products, 1e-6))
    errors = Errors(np.full(products, 1.0), zero, zero)
    visits = views * np.where(np.arange(products) % 2, 1.0, 0.1)
    for _ in range(weeks):
        level = level + rng.normal(0, np.sqrt(drift), products)
        rate = visits * np.exp(level)
        # A Gamma-Poisson mixture of this dispersion.
        more = (dispersion - 1.0) / rate + relative_noise
        units = rng.poisson(rng.gamma(1 / np.maximum(more, 1e-9), rate * np.maximum(more, 1e-9))).astype(float)
        now = now._replace(c00=now.c00 + walk)
        now, forecast = observe_sales(
            now, x=zero, views=visits, units=units, weight=1.0, dispersion=1.0, relative_noise=assumed
        )
        errors = update_errors(errors, forecast, units, np.ones(products))
    return errors


def test_the_drift_of_demand_is_estimated_from_the_correlation_of_errors() -> None:
    before = np.array([0.005])
    assert estimate_walk(before, filtered(drift=0.0, walk=0.005))[0] < 0.8 * 0.005
    assert estimate_walk(before, filtered(drift=0.03, walk=0.005))[0] > 1.2 * 0.005
    assert estimate_walk(before, filtered(drift=0.005, walk=0.005))[0] == pytest.approx(0.005, rel=0.2)


def estimated_noise(errors: Errors, *, poolings: int = 20) -> tuple[float, float]:
    """Dispersion and relative noise after repeated estimates from the same errors."""
    group, dispersion, relative = np.zeros(len(errors.sales), dtype=np.int64), np.array([1.2]), 0.0
    for _ in range(poolings):
        dispersion, relative = estimate_noise(errors, group, dispersion, relative, 1.2)
    return float(dispersion[0]), relative


def test_the_dispersion_of_sales_is_estimated_from_the_size_of_errors() -> None:
    plain, none = estimated_noise(filtered(0.0, 0.0005))
    assert plain == pytest.approx(1.0, abs=0.15)
    assert none < 0.01
    bulky, little = estimated_noise(filtered(0.0, 0.0005, dispersion=4.0))
    assert bulky > 2.0
    assert little < 0.06


def test_noise_in_proportion_to_sales_is_told_from_that_of_single_purchases() -> None:
    """Conversion rates that vary by half from week to week: a large number of visitors does not average this out."""
    plain, relative = estimated_noise(filtered(0.0, 0.0005, relative_noise=0.25, assumed=0.25, views=3_000.0))
    assert relative == pytest.approx(0.25, abs=0.06)
    assert plain == pytest.approx(1.0, abs=0.5)


def test_an_observation_with_relative_noise_teaches_no_more_at_any_number_of_sales() -> None:
    belief = Belief(*(np.array([each, each]) for each in (-3.0, -2.4, 0.1, 0.0, 0.5)))
    views = np.array([1e5, 1e7])

    def observe(relative_noise: float) -> tuple[Belief, Forecast]:
        return observe_sales(
            belief, x=np.full(2, 0.1), views=views, units=0.03 * views, weight=1.0, dispersion=1.0,
            relative_noise=relative_noise,
        )  # fmt: skip

    noisy, forecast = observe(0.2)
    certain, _ = observe(0.0)
    assert noisy.c00[1] == pytest.approx(noisy.c00[0], rel=1e-2)
    assert (certain.c00 < 0.1 * noisy.c00).all()
    assert forecast.dispersion == pytest.approx(1.0 + 0.2 * forecast.expected)


def test_exceptional_sales_change_a_belief_less() -> None:
    now = belief(-3.7, -2.4, 0.01, 0.0, 0.3)

    def learned(units: float) -> float:
        new, _ = observe_sales(
            now, x=np.full(1, -0.2), views=np.full(1, 5_000.0), units=np.full(1, units), weight=1.0, dispersion=1.0,
            robust=True,
        )  # fmt: skip
        return float(abs(new.b[0] - now.b[0]))

    usual = float(5_000 * np.exp(now.a[0] - 0.2 * now.b[0]))
    # Twelve times as far from the forecast, and yet less than six times the change.
    assert learned(2.2 * usual) < 6 * learned(1.1 * usual)


# --- sales that the first epoch of a price does not show


def test_sales_that_come_late_are_no_effect_of_the_price() -> None:
    """Prices rise once and stay; the first epoch of the new price shows 70 % of its sales."""
    rng, n = np.random.default_rng(10), 500
    zero = np.zeros(n)
    first = Belief(np.full(n, -3.0), np.full(n, -2.4), np.full(n, 0.02), zero, np.full(n, 0.5))
    now, delay, known = first, Delay.unknown(n), np.zeros(1)
    for week in range(6):
        x, is_first = np.full(n, 0.04 if week >= 2 else 0.0), np.full(n, week == 2)
        units = rng.poisson(400 * np.exp(-3.0 - 2.4 * x) * np.where(is_first, 0.7, 1.0)).astype(float)
        before = now
        now, forecast = observe_sales(before, x=x, views=np.full(n, 400.0), units=units, weight=1.0, dispersion=1.0)
        delay = observe_delay(delay, before, forecast, x=x, is_first=is_first, is_new=np.zeros(n, dtype=np.bool_))
    estimate = estimate_delay(delay, known)
    assert estimate[0] == pytest.approx(log(0.7), abs=0.06)
    corrected, rest = correct_belief(now, delay, estimate - known)
    assert now.b.mean() < -2.45
    assert corrected.b.mean() == pytest.approx(-2.4, abs=0.02)
    # The same evidence changes the estimate only once.
    assert estimate_delay(rest, estimate)[0] == pytest.approx(estimate[0], abs=0.01)


def test_sales_without_a_delay_have_none() -> None:
    rng, n = np.random.default_rng(11), 500
    zero, x = np.zeros(n), np.full(n, 0.03)
    now = Belief(np.full(n, -3.0), np.full(n, -2.4), np.full(n, 0.02), zero, np.full(n, 0.5))
    delay = Delay.unknown(n)
    for _ in range(8):
        moved = np.where(rng.random(n) < 0.5, x, -x)
        units = rng.poisson(400 * np.exp(-3.0 - 2.4 * moved)).astype(float)
        before = now
        now, forecast = observe_sales(before, x=moved, views=np.full(n, 400.0), units=units, weight=1.0, dispersion=1.0)
        delay = observe_delay(delay, before, forecast, x=moved, is_first=rng.random(n) < 0.5, is_new=zero > 0)
    assert estimate_delay(delay, np.zeros(1))[0] == pytest.approx(0.0, abs=0.02)
