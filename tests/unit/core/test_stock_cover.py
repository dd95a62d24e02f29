from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, PolicyId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE, Money
from scalecommerce_core.pricing.stock_cover import Decision, PricingPolicy, Reason, Signals
from tests.unit.core.shop import usd

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def policy(**more: Any) -> PricingPolicy:
    facts: dict[str, Any] = {"target_cover_days": 30, "window_days": 28, **more}
    return PricingPolicy(PolicyId(1), AccountId(2), "Keep a month of stock", NOW, **facts)


def signals(**more: Any) -> Signals:
    """28 sold in 28 days, one a day: `available` is the cover in days. On target unless a test says otherwise."""
    facts: dict[str, Any] = {
        "product_id": ProductId(1),
        "price": usd("100.00"),
        "priced_at": NOW - timedelta(days=60),
        "priced_manually": False,
        "units_sold": 28,
        "available": 30,
        **more,
    }
    return Signals(**facts)


def decide(**more: Any) -> Decision:
    return policy().decide(signals(**more), NOW)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"priced_at": NOW - timedelta(days=27), "priced_manually": True}, Reason.MANUAL_EDIT),
        ({"priced_at": NOW - timedelta(days=6)}, Reason.COOLDOWN),
        ({"priced_at": NOW + timedelta(seconds=1)}, Reason.COOLDOWN),
        ({"available": 0}, Reason.OUT_OF_STOCK),
        ({"available": -1}, Reason.OUT_OF_STOCK),
        ({"units_sold": 4}, Reason.FEW_SALES),
        ({"available": 30}, Reason.DEAD_BAND),
        ({"available": 29}, Reason.DEAD_BAND),
        ({"available": 31}, Reason.DEAD_BAND),
        ({"available": 1, "max_price": usd("100.00")}, Reason.DEAD_BAND),
    ],
)
def test_a_price_stays_and_says_why(seen: dict[str, Any], reason: Reason) -> None:
    decision = decide(**seen)
    assert not decision.moves
    assert (decision.reason, decision.new) == (reason, usd("100.00"))
    assert decision.sentence.endswith(".")


@pytest.mark.parametrize(
    ("seen", "reason", "new"),
    [
        ({"available": 15}, Reason.COVER_SHORT, "105.00"),
        ({"available": 90}, Reason.COVER_LONG, "95.00"),
        ({"available": 27}, Reason.COVER_SHORT, "104.10"),
        ({"available": 33}, Reason.COVER_LONG, "96.43"),
        ({"available": 15, "max_price": usd("103.00")}, Reason.CEILING, "103.00"),
        ({"available": 90, "min_price": usd("97.00")}, Reason.FLOOR, "97.00"),
        ({"available": 90, "cost": usd("96.50"), "min_price": usd("90.00")}, Reason.FLOOR, "96.50"),
        ({"available": 30, "min_price": usd("150.00")}, Reason.FLOOR, "105.00"),
        ({"available": 30, "max_price": usd("50.00")}, Reason.CEILING, "95.00"),
        ({"available": 90, "cost": usd("103.00"), "max_price": usd("90.00")}, Reason.FLOOR, "103.00"),
        ({"available": 15, "cost": usd("102.50"), "max_price": usd("90.00")}, Reason.CEILING, "102.50"),
    ],
)
def test_a_price_moves_by_its_cover_inside_its_bounds(seen: dict[str, Any], reason: Reason, new: str) -> None:
    decision = decide(**seen)
    assert (decision.reason, decision.old, decision.new) == (reason, usd("100.00"), usd(new))
    assert decision.moves
    assert "28 sold in 28 days" in decision.sentence


def test_automation_waits_for_exactly_one_window_after_a_manual_edit() -> None:
    edited = {"priced_manually": True, "available": 90}
    assert decide(priced_at=NOW - timedelta(days=28) + timedelta(microseconds=1), **edited).reason is Reason.MANUAL_EDIT
    assert decide(priced_at=NOW - timedelta(days=28), **edited).moves


def test_the_cooldown_is_a_week_or_a_shorter_window() -> None:
    assert decide(priced_at=NOW - timedelta(days=7), available=90).moves
    daily = policy(window_days=1)
    assert daily.decide(signals(priced_at=NOW - timedelta(days=1), available=90), NOW).moves
    assert daily.decide(signals(priced_at=NOW - timedelta(hours=23), available=90), NOW).reason is Reason.COOLDOWN


@pytest.mark.parametrize("available", [1, 1000])
def test_rounding_to_cents_never_lengthens_a_step(available: int) -> None:
    for cents in range(1, 200):
        moved = decide(price=Money(cents, "USD"), available=available).new.minor
        assert abs(moved - cents) * 20 <= cents


AMOUNTS = st.integers(MIN_PRICE, 1000) | st.integers(MIN_PRICE, MAX_PRICE)


def money(minor: int) -> Money:
    return Money(minor, "USD")


BOUND = st.none() | AMOUNTS.map(money)


@given(
    st.builds(
        Signals,
        product_id=st.just(ProductId(1)),
        price=AMOUNTS.map(money),
        priced_at=st.integers(-5, 60).map(lambda days: NOW - timedelta(days=days)),
        priced_manually=st.booleans(),
        units_sold=st.integers(-5, 10_000),
        available=st.integers(-5, 2**31),
        cost=BOUND,
        min_price=BOUND,
        max_price=BOUND,
    ),
    st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.5]),
)
def test_whatever_is_seen_a_step_is_bounded_and_leads_into_the_bounds(seen: Signals, max_step: float) -> None:
    decision = policy(max_step=max_step).decide(seen, NOW)
    old, new = decision.old.minor, decision.new.minor
    assert decision.old == seen.price
    assert MIN_PRICE <= new <= MAX_PRICE
    # A float's error of 1e-9 is no step.
    assert abs(new - old) <= old * max_step + 1e-6
    assert decision.moves == (new != old)
    if decision.moves:
        assert decision.reason in {Reason.COVER_SHORT, Reason.COVER_LONG, Reason.FLOOR, Reason.CEILING}
        floor = max(bound.minor for bound in (money(1), seen.cost, seen.min_price) if bound is not None)
        ceiling = max(floor, seen.max_price.minor if seen.max_price is not None else MAX_PRICE)
        assert new >= floor or new > old
        assert new <= ceiling or new < old
    assert policy(max_step=max_step).decide(seen, NOW) == decision


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_cover_days": 0},
        {"target_cover_days": 366},
        {"window_days": 0},
        {"window_days": 366},
        {"max_step": -0.01},
        {"max_step": 0.51},
        {"max_step": float("nan")},
        {"least_units": 0},
        {"target_cover_days": 0, "least_units": 1_000_001},
    ],
)
def test_a_policy_names_each_bound_that_is_not_met(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        policy(**wrong)
    assert set(caught.value.errors) == set(wrong)


@pytest.mark.parametrize("name", ["", " ", "x" * 101])
def test_a_policy_has_a_name(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        PricingPolicy(PolicyId(1), AccountId(2), name, NOW)
    assert list(caught.value.errors) == ["name"]
