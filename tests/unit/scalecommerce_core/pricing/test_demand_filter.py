from math import exp

import numpy as np
import pytest

from scalecommerce_core.pricing.demand_filter import Belief, Drift, rebase_belief, update_belief
from scalecommerce_core.pricing.shrinkage import Evidence, collect_evidence, estimate_priors, swap_prior


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
    w = lam / 1.2
    f = c00 + 2 * x * c01 + x * x * c11 + 1 / w
    k0, k1 = (c00 + x * c01) / f, (c01 + x * c11) / f
    r = min(max((units - lam) / max(lam, 0.5), -2), 3)
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


def test_a_rebased_belief_predicts_the_same_demand() -> None:
    old, new = np.array([100.0]), np.array([130.0])
    before = belief(-3.7, -2.4, 0.25, 0.1, 0.81)
    after = rebase_belief(before, old, new)
    for price in (70.0, 100.0, 160.0):
        x, y = price / old - 1, price / new - 1
        assert before.a + before.b * x == pytest.approx(after.a + after.b * y)
        spread = [b.c00 + 2 * z * b.c01 + z * z * b.c11 for b, z in ((before, x), (after, y))]
        assert spread[0] == pytest.approx(spread[1])
    assert np.concatenate(rebase_belief(after, new, old)) == pytest.approx(np.concatenate(before))


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


def looked_at(products: int, mean: float, spread: float, seed: int) -> tuple[Evidence, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = np.arange(products) % 2
    variance = rng.uniform(0.05, 2.0, products)
    own = rng.normal(np.where(group == 0, mean, -2.4), spread, products) + rng.normal(0, np.sqrt(variance))
    c11 = 1 / (1 / variance + 1 / 0.81)
    b = c11 * (own / variance - 2.4 / 0.81)
    prior = np.full(2, -2.4), np.full(2, 0.81)
    parts = [
        collect_evidence(group[half], b[half], c11[half], *prior)
        for half in (slice(0, products // 3), slice(products // 3, None))
    ]
    return parts[0] + parts[1], *prior


def test_the_prior_of_a_category_is_recovered_from_its_products() -> None:
    found, mean, variance = looked_at(8_000, -1.6, 0.6, seed=4)
    new_mean, new_variance = estimate_priors(found, mean, mean, variance)
    assert new_mean == pytest.approx([-1.6, -2.4], abs=0.08)
    assert new_variance == pytest.approx([0.36, 0.36], abs=0.08)


def test_a_small_category_has_its_parent_s_prior_and_estimates_are_bounded() -> None:
    found, mean, variance = looked_at(38, -1.6, 0.6, seed=5)
    new_mean, new_variance = estimate_priors(found, mean, np.array([-3.0, -3.0]), np.array([0.5, 0.5]))
    assert (new_mean.tolist(), new_variance.tolist()) == ([-3.0, -3.0], [0.5, 0.5])
    wild, mean, variance = looked_at(400, 30.0, 9.0, seed=6)
    new_mean, new_variance = estimate_priors(wild, mean, mean, variance)
    assert (new_mean[0], new_variance[0]) == (-1.0, 1.5)
    assert variance.tolist() == [0.81, 0.81]
