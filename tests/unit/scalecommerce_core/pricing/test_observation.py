"""Observation of withdrawn prices: they count neither for guardrails nor for learning."""

from datetime import UTC, datetime

import numpy as np

from scalecommerce_core.domain.identifiers import AccountId, PolicyId
from scalecommerce_core.pricing.facts import DAY, FACTS, NEUTRAL_FACTS, Facts, PriceIntervals
from scalecommerce_core.pricing.observation import RangeResult, decide_range
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_state import PolicyState

NOW = 2_000 * DAY
POLICY = PricingPolicy(PolicyId(1), AccountId(1), "Learn", datetime(2026, 1, 1, tzinfo=UTC))
STRATEGY = POLICY.strategy()


def facts(price: int, priced_at: int, **more: int) -> Facts:
    """One product, listed 100 days ago."""
    row = {
        "product": 1, "category": 1, "created_at": NOW - 100 * DAY, "cost": 500, "min_price": -1, "max_price": -1,
        "stock": 50, "views_ever": 900, "views": 900, "orders": 40, "units": 40, "refunded": 0, "net_units": 40,
        "net_amount": 40_000, "out_of_stock": 0, "minor_per_unit": 100, **NEUTRAL_FACTS,
    }  # fmt: skip
    row |= {"price": price, "priced_at": priced_at, **more}
    return Facts(*(np.array([row[name]], dtype=np.int64) for name in FACTS))


def past(*changes: tuple[int, ...]) -> PriceIntervals:
    """Changes by hand as (valid from, price, withdrawn), and optionally views and units."""
    rows = [
        (1, valid_from, price, 1, withdrawn, 0, *(counts[:1] or (0,)), *(counts[1:] or (0,)) * 2, 0)
        for valid_from, price, withdrawn, *counts in changes
    ]
    return PriceIntervals.of_table(np.array(rows, dtype=np.int64))


def decide(facts: Facts, past: PriceIntervals, epoch: int, now: int, state: PolicyState | None = None) -> RangeResult:
    state = state or PolicyState.empty(STRATEGY.columns)
    return decide_range(
        POLICY, STRATEGY, policy_state=state, category_parameters={}, facts=facts, past=past, epoch=epoch, now=now
    )


def test_the_price_before_a_withdrawn_one_counts_in_its_time() -> None:
    began, ended = NOW - 2 * DAY, NOW - DAY
    listed = (NOW - 100 * DAY, 1_000, False)
    for is_withdrawn, lowest in ((True, 1_000), (False, 1)):
        history = past(listed, (began, 1, is_withdrawn), (ended, 1_000, False))
        signals = decide(facts(1_000, ended), history, 1, NOW).signals
        assert (signals.lowest_30d.item(), signals.median_90d.item()) == (lowest, 1_000)


def test_what_was_learned_at_a_withdrawn_price_is_discarded() -> None:
    # The mistaken price is close to the right one, and lasts for two runs, so its sales were observed.
    began, ended = NOW - 15 * DAY, NOW - DAY
    listed = (NOW - 100 * DAY, 1_000, False)
    before = past(listed, (began, 900, False))
    first = decide(facts(900, began), before, 1, NOW - 14 * DAY)
    second = decide(facts(900, began, views=1_900, units=400), before, 2, NOW - 7 * DAY, first.policy_state)
    assert second.signals.units.item() == 360
    after = {
        is_withdrawn: decide(
            facts(1_000, ended, views=2_000, units=410),
            past(listed, (began, 900, is_withdrawn), (ended, 1_000, False)),
            3,
            NOW,
            second.policy_state,
        )
        for is_withdrawn in (True, False)
    }
    new = decide(
        facts(1_000, ended, views=2_000, units=410),
        past(listed, (began, 900, True), (ended, 1_000, False)),
        3,
        NOW,
    )
    for name, values in after[True].state.products.items():
        assert np.array_equal(values, new.state.products[name], equal_nan=True), name
    assert any(
        not np.array_equal(values, new.state.products[name], equal_nan=True)
        for name, values in after[False].state.products.items()
    )


def test_forged_views_are_remembered_between_runs() -> None:
    began = NOW - 100 * DAY
    history = past((began, 1_000, False))
    state, views = None, 900
    for week in range(8, 0, -1):
        views += 1_000
        result = decide(
            facts(1_000, began, views=views, units=views // 40), history, 9 - week, NOW - 7 * week * DAY, state
        )
        state = PolicyState.from_bytes(result.policy_state.to_bytes())
        assert result.signals.weight.item() == 1
    forged = decide(facts(1_000, began, views=views + 10_000, units=views // 40 + 25), history, 9, NOW, state)
    assert 800 < forged.signals.views.item() < 1_100
    assert forged.signals.counted_views.item() == 10_000
    assert forged.decisions[0].guardrails == ("anomaly_hold",)


def test_refunds_since_the_last_run_are_a_signal() -> None:
    began = NOW - 100 * DAY
    history = past((began, 1_000, False))
    first = decide(facts(1_000, began, units=40, refunded=3), history, 1, NOW - 7 * DAY)
    second = decide(facts(1_000, began, views=950, units=43, refunded=5), history, 2, NOW, first.policy_state)
    assert (second.signals.units.item(), second.signals.refunded.item()) == (1, 2)
