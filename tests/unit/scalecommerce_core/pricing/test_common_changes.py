"""Tests of the estimate of demand changes that the products of a category share."""

from math import log

import numpy as np
import pytest

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.common_changes import (
    CommonChange,
    estimate_changes,
    include_change,
    observe_change,
)
from scalecommerce_core.pricing.demand_filter import Belief, observe_sales

VIEWS, ELASTICITY = 400.0, -2.4
N = 400
GROUP: Whole = np.repeat([0, 1], N // 2)
NONE = np.zeros(N, dtype=np.bool_)


def learn(factors: Floats, *, length: float = 1.0, centre: float = 0.0) -> tuple[Belief, CommonChange]:
    """Learn from four epochs of `length` weeks with the demand before times `factors`, below the reference price.

    Earlier prices were at the distance `centre` from the reference price, where the variance of the level is 0.02.
    """
    rng, x = np.random.default_rng(20), np.full(N, -0.08)
    beliefs = -3.0, ELASTICITY, 0.02 + 0.5 * centre**2, -0.5 * centre, 0.5
    now = Belief(*(np.full(N, value) for value in beliefs))
    change = CommonChange.beginning(N)
    for _ in range(4):
        units = rng.poisson(VIEWS * factors * np.exp(-3.0 + ELASTICITY * x)).astype(float)
        before = now
        now, forecast = observe_sales(before, x=x, views=np.full(N, VIEWS), units=units, weight=1.0, dispersion=1.0)
        change = observe_change(change, before, forecast, x=x, weeks=np.full(N, length), is_new=NONE)
    return now, change


def test_a_change_of_a_category_is_no_effect_of_its_prices() -> None:
    alone, change = learn(np.where(GROUP == 0, 1.5, 1.0))
    changes = estimate_changes(change, GROUP, 2)
    both = include_change(alone, change, changes[GROUP])
    assert changes == pytest.approx([log(1.5), 0.0], abs=0.06)
    # The products alone take a part of the rise for an effect of their lower prices.
    assert alone.b[GROUP == 0].mean() < ELASTICITY - 0.2
    assert both.b[GROUP == 0].mean() == pytest.approx(ELASTICITY, abs=0.06)
    assert both.b[GROUP == 1].mean() == pytest.approx(ELASTICITY, abs=0.06)
    assert both.a[GROUP == 0].mean() == pytest.approx(-3.0 + log(1.5), abs=0.03)


def test_errors_at_prices_far_from_earlier_ones_are_less_of_a_change() -> None:
    near, far = (learn(np.full(N, 0.9), centre=centre)[1] for centre in (-0.08, 0.32))
    own = learn(np.full(N, 0.9), centre=-0.03)[1]
    assert near.common_information.sum() > 1.5 * own.common_information.sum() > 30.0 * far.common_information.sum()
    changes = [estimate_changes(change, GROUP, 2) for change in (near, far)]
    assert changes[0] == pytest.approx([log(0.9)] * 2, abs=0.03)
    assert np.abs(changes[1]).max() < 0.75 * abs(log(0.9))


def test_a_change_of_all_categories_is_shared_by_a_category_without_sales() -> None:
    _, change = learn(np.full(N, 0.7))
    silent = CommonChange(*(np.where(GROUP == 1, 0.0, values) for values in change))
    full, partial = estimate_changes(change, GROUP, 2), estimate_changes(silent, GROUP, 2)
    assert full == pytest.approx([log(0.7)] * 2, abs=0.06)
    assert full[1] < partial[1] < 0.25 * log(0.7)


def test_products_without_views_follow_their_category() -> None:
    _, change = learn(np.full(N, 1.5))
    unseen = Belief(*(np.full(N, value) for value in (-3.0, ELASTICITY, 0.02, 0.0, 0.5)))
    known = include_change(unseen, CommonChange.beginning(N), estimate_changes(change, GROUP, 2)[GROUP])
    assert known.a == pytest.approx(-3.0 + log(1.5), abs=0.06)
    assert (known.b == ELASTICITY).all()


def test_new_products_are_not_changed() -> None:
    begun = Belief(*(np.full(N, value) for value in (-3.0, ELASTICITY, 0.25, 0.0, 0.5)))
    changed = include_change(begun, CommonChange.of_new(N), np.full(N, 0.4))
    assert (changed.a == -3.0).all()
    assert (changed.b == ELASTICITY).all()


def test_without_sales_nothing_changes() -> None:
    estimate = estimate_changes(CommonChange.beginning(N), GROUP, 3)
    assert (estimate == 0.0).all()


def test_first_sales_of_new_products_are_no_change() -> None:
    begun = Belief(*(np.full(N, value) for value in (-3.0, ELASTICITY, 0.02, 0.0, 0.5)))
    units, views, x = np.full(N, 60.0), np.full(N, VIEWS), np.zeros(N)
    _, forecast = observe_sales(begun, x=x, views=views, units=units, weight=1.0, dispersion=1.0)
    change = observe_change(CommonChange.beginning(N), begun, forecast, x=x, weeks=np.ones(N), is_new=~NONE)
    assert (estimate_changes(change, GROUP, 2) == 0.0).all()


def test_nothing_changes_within_seconds() -> None:
    _, change = learn(np.full(N, 1.5), length=2.0 / (7 * 86_400))
    assert np.abs(estimate_changes(change, GROUP, 2)).max() < 0.001
