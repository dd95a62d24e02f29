"""Competitors: the loss above a competitor's price, and when undercutting pays."""

from typing import Any

import numpy as np
import pytest

from scalecommerce_core.pricing.arrays import Floats
from scalecommerce_core.pricing.competitor import Competitor, estimate_loss
from scalecommerce_core.pricing.interface import MOTIVES, Motive, State
from scalecommerce_core.pricing.signals import Signals
from scalecommerce_core.pricing.strategy_calls import call_pool, call_propose, call_start, call_update
from tests.unit.support.pricing_signals import signals


def sums(**columns: Any) -> dict[str, Floats]:
    empty = dict.fromkeys(("risen_sold", "risen_expected", "fallen_sold", "fallen_expected"), np.zeros(1))
    return empty | {name: np.array([value], dtype=np.float64) for name, value in columns.items()}


def test_the_loss_is_the_logarithm_of_the_share_of_sales_that_remains() -> None:
    half = sums(risen_sold=5_000, risen_expected=10_000, fallen_sold=2_000, fallen_expected=1_000)
    assert estimate_loss(half, np.zeros(1), 0.25) == pytest.approx([np.log(2)], abs=0.01)


def test_without_sales_the_loss_is_its_prior_mean() -> None:
    assert estimate_loss(sums(), np.array([0.4]), 0.25).tolist() == [0.4]


def test_few_sales_change_the_loss_little() -> None:
    assert 0 < estimate_loss(sums(risen_sold=1, risen_expected=3), np.zeros(1), 0.25)[0] < 0.4


def test_no_sales_at_all_give_a_finite_loss() -> None:
    assert 1 < estimate_loss(sums(risen_expected=1e9), np.zeros(1), 0.25)[0] <= 5


# --- the strategy


def believing(seen: Signals, loss: float, **columns: float) -> State:
    state = call_start(Competitor(), seen, {})
    belief = {"a": np.log(0.05), "b": -2.5, "kept": 100_00.0, **columns}
    products = {**state.products, **{name: np.full(len(seen), value) for name, value in belief.items()}}
    return State(products, {**state.groups, "competitor_loss": np.full(1, loss)})


def proposed(loss: float, strategy: Competitor | None = None, **columns: Any) -> tuple[float, Motive]:
    """The proposal for a product whose own best price is its present one: 60 + 100 / 2.5 = 100."""
    seen = signals(cost=60_00, **columns)
    proposal = call_propose(strategy or Competitor(pace=0.5), believing(seen, loss), seen, 3)
    return float(proposal.prices[0]), MOTIVES[int(proposal.motive[0])]


def test_a_competitor_is_undercut_if_that_earns_more() -> None:
    assert proposed(1.0, competitor=98_00, competitor_days=1.0) == (95_06.0, Motive.COMPETITOR)


def test_a_competitor_is_not_undercut_if_little_is_lost_above() -> None:
    assert proposed(0.01, competitor=90_00, competitor_days=1.0)[1] is not Motive.COMPETITOR


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"competitor": 98_00, "competitor_days": 7.1},
        {"competitor": 98_00},
        {"competitor": 120_00, "competitor_days": 1.0},
        {"competitor": 70_00, "competitor_days": 1.0},
        {"competitor": 50_00, "competitor_days": 1.0},
    ],
    ids=["unknown", "stale", "of an unknown time", "dearer", "far below the own best price", "below the cost"],
)
def test_some_competitors_do_not_matter(columns: dict[str, Any]) -> None:
    assert proposed(3.0, **columns)[1] is not Motive.COMPETITOR


def test_a_race_ends_at_a_distance_from_the_own_best_price() -> None:
    """A competitor who undercuts each price by 1 % reaches its own cost, and this strategy does not follow."""
    strategy, price = Competitor(), 100_00
    lowest = price
    for _ in range(60):
        seen = signals(cost=60_00, price=price, competitor=max(price * 99 // 100, 62_00), competitor_days=0.5)
        wanted = call_propose(strategy, believing(seen, 3.0), seen, 3).prices
        price = price if np.isnan(wanted[0]) else round(float(wanted[0]))
        lowest = min(lowest, price)
    assert 88_00 <= lowest < 98_00
    assert price > lowest


def test_a_price_returns_to_the_own_best_one_when_the_competitor_is_too_cheap() -> None:
    assert proposed(3.0, price=70_00, competitor=72_00, competitor_days=1.0)[0] > 70_00


def test_the_loss_is_learned_from_changes_of_the_competitors_price() -> None:
    """Sales halve whenever the competitor is cheaper; the price itself never changes."""
    strategy, rng, products = Competitor(), np.random.default_rng(1), 50
    product = np.arange(1, products + 1)

    def seen(rival: Floats, units: Floats) -> Signals:
        return signals(
            product=product, price=100_00, views=2_000.0, units=units, days=7.0, competitor=rival.astype(int),
            competitor_days=1.0,
        )  # fmt: skip

    rival = np.full(products, 110_00.0)
    state = call_start(strategy, seen(rival, np.full(products, 100.0)), {})
    for epoch in range(30):
        units = rng.poisson(np.where(rival < 100_00, 50.0, 100.0)).astype(np.float64)
        rival = np.where(rng.random(products) < 0.5, 90_00.0, 110_00.0)
        state = call_update(strategy, state, seen(rival, units))
        if epoch % 4 == 3:
            state = call_pool(strategy, state, seen(rival, units))
    assert state.groups["competitor_loss"] == pytest.approx([np.log(2)], abs=0.15)
    # The elasticity and the level are not affected by the competitor.
    assert np.exp(state.products["a"]).mean() == pytest.approx(0.05, rel=0.15)
