"""Tests of the estimate of how views follow prices."""

from math import log

import numpy as np
import pytest

from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.demand_filter import Belief, observe_sales
from scalecommerce_core.pricing.view_following import (
    ViewFollowing,
    ViewHistory,
    correct_belief,
    estimate_following,
    observe_view_derivatives,
    observe_views,
    view_factors,
)

VIEWS, LEVEL, ELASTICITY = 400.0, -3.0, -2.4
N = 400
GROUP: Whole = np.repeat([0, 1], N // 2)
ALL = np.ones(N, dtype=np.bool_)
NOTHING = ViewFollowing(*(np.zeros(2) for _ in ViewFollowing._fields))


def learn(factors: Floats, x: Floats, *, epochs: int = 4, noise: float = 0.2) -> tuple[Belief, Floats, ViewHistory]:
    """Learn from epochs in which views are multiplied by `factors` (epochs × products) at the distances `x`.

    Return the belief, its derivatives with respect to the effects, and the history.
    """
    rng = np.random.default_rng(7)
    belief = Belief(*(np.full(N, value) for value in (LEVEL, ELASTICITY, 0.02, 0.0, 0.5)))
    history, derivatives = ViewHistory.unknown(N), np.zeros((N, 4))
    for epoch in range(epochs):
        visitors = VIEWS * np.exp(noise * rng.standard_normal(N))
        units = rng.poisson(visitors * np.exp(LEVEL + ELASTICITY * x[epoch])).astype(float)
        views, before = np.round(visitors * factors[epoch]), belief
        belief, forecast = observe_sales(before, x=x[epoch], views=views, units=units, weight=1.0, dispersion=1.0)
        derivatives = observe_view_derivatives(derivatives, before, forecast, x=x[epoch])
        history = observe_views(history, x=x[epoch], views=views, days=np.full(N, 7.0), counts=ALL)
    return belief, derivatives, history


def variations(epochs: int = 4) -> Floats:
    """Distances of 3 % above or below the reference price, drawn for each product and epoch."""
    return np.random.default_rng(3).choice([-0.03, 0.03], size=(epochs, N))


def test_doubled_views_below_the_reference_price_are_recognised_and_corrected() -> None:
    x = variations()
    alone, derivatives, history = learn(np.where(x < 0, 2.0, 1.0), x)
    now = estimate_following(NOTHING, history, GROUP)
    assert view_factors(now.effects(), np.array([-0.03, 0.03])) == pytest.approx([2**0.5, 0.5**0.5], rel=0.05)
    # Forged views make lower prices look useless.
    assert alone.b.mean() > ELASTICITY + 0.3
    corrected = correct_belief(alone, derivatives, now.effects())
    assert corrected.b.mean() == pytest.approx(ELASTICITY, abs=0.2)


def test_a_level_that_was_learnt_at_the_reference_price_does_not_change_the_elasticity_after_a_correction() -> None:
    x = np.zeros((6, N))
    learnt, derivatives, _ = learn(np.ones_like(x), x, epochs=len(x))
    # Then views above the reference price are doubled, which becomes known.
    effects = -log(2.0), 0.0
    belief, rng = correct_belief(learnt, derivatives, effects), np.random.default_rng(5)
    for distance in (0.06, 0.1) * 3:
        at = np.full(N, distance)
        units = rng.poisson(VIEWS * np.exp(LEVEL + ELASTICITY * at)).astype(float)
        views = 2.0 * VIEWS / view_factors(effects, at)
        belief, _ = observe_sales(belief, x=at, views=views, units=units, weight=1.0, dispersion=1.0)
    assert belief.b.mean() == pytest.approx(ELASTICITY, abs=0.2)


def test_views_in_proportion_to_a_power_of_the_price_are_told_from_a_step() -> None:
    x = variations(12) + np.linspace(0.0, -0.4, 12)[:, None] * np.random.default_rng(4).random(N)
    *_, history = learn(np.exp(-3.0 * x), x, epochs=12)
    now = estimate_following(NOTHING, history, GROUP)
    side, distance = now.effects()
    assert distance == pytest.approx(3.0, abs=0.4)
    assert side == pytest.approx(0.0, abs=0.1)


def test_traffic_that_a_category_shares_is_no_effect_of_its_prices() -> None:
    """Nine of ten prices fall in two steps while traffic grows in each epoch."""
    steps = np.linspace(0.03, -0.03, 4)[:, None] * np.ones((4, N))
    steps[:, ::10] *= -1.0
    *_, history = learn(np.linspace(1.0, 2.0, 4)[:, None] * np.ones((4, N)), steps)
    assert estimate_following(NOTHING, history, GROUP).effects() == (0.0, 0.0)


def test_noise_of_views_is_no_effect() -> None:
    x = variations(20)
    *_, history = learn(np.ones((20, N)), x, epochs=20, noise=0.4)
    assert estimate_following(NOTHING, history, GROUP).effects() == (0.0, 0.0)


def test_earlier_intervals_count_less() -> None:
    x = variations()
    *_, history = learn(np.where(x < 0, 2.0, 1.0), x)
    first = estimate_following(NOTHING, history, GROUP)
    second = estimate_following(first, history.beginning(), GROUP)
    assert 0.0 < second.following_ff.sum() < first.following_ff.sum()


def test_histories_are_columns_and_unknown_for_new_products() -> None:
    *_, history = learn(np.ones((4, N)), variations())
    assert all(
        np.array_equal(*pair) for pair in zip(ViewHistory.of_columns(history._asdict(), ALL), history, strict=True)
    )
    half = ViewHistory.of_columns(history._asdict(), GROUP == 0)
    assert np.isnan(half.view_mean).tolist() == (GROUP == 1).tolist()
    assert (half.view_w > 0.0).tolist() == (GROUP == 0).tolist()
    new = ViewHistory.of_columns({}, ALL)
    assert np.isnan(new.view_mean).all()
    assert not any(sums.any() for sums in new[3:])


def test_a_correction_of_views_is_bounded() -> None:
    assert view_factors((log(2.0), 40.0), np.array([-1.0, 1.0])) == pytest.approx([np.exp(2.3), np.exp(-2.3)])


def test_epochs_without_views_tell_nothing() -> None:
    zero, x = np.zeros(N), np.full(N, -0.03)
    history = observe_views(ViewHistory.unknown(N), x=x, views=zero, days=zero, counts=ALL)
    assert np.isnan(history.view_mean).all()
    assert not any(sums.any() for sums in history[3:])
    assert estimate_following(NOTHING, history, GROUP).effects() == (0.0, 0.0)
