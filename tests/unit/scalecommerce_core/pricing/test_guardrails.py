import os
from fractions import Fraction
from math import ceil, floor, isnan
from typing import Any

import numpy as np
import pytest

from scalecommerce_core.domain.money import MAX_PRICE, MIN_PRICE
from scalecommerce_core.pricing.guardrails import ENDINGS, Guardrails, apply_guardrails, guardrail_names
from scalecommerce_core.pricing.price_endings import nearest_ending
from scalecommerce_core.pricing.signals import COLUMNS, Signals
from tests.unit.support.pricing_signals import chaos, signals

DECISIONS = 1_000_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 100_000
SETTINGS = (
    Guardrails(),
    Guardrails(ending="99", least_margin=0.1),
    Guardrails(ending="90", step=0.1, day_range=0.1, dead_band=0.0),
    Guardrails(ending="whole", cooldown_days=0, month_range=0.5, over_median=0.1),
    Guardrails(step=0.0, least_views=0, least_history_days=0),
)


def decide(
    wanted: float, *, epoch_days: float = 7.0, rails: Guardrails | None = None, **seen: Any
) -> tuple[int, tuple[str, ...]]:
    new, acted = apply_guardrails(np.array([wanted]), signals(**seen), rails or Guardrails(), epoch_days=epoch_days)
    return int(new[0]), guardrail_names(int(acted[0]))


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        ({"views_ever": 29}, "few_views"),
        ({"history_days": 13.9}, "short_history"),
        ({"stock": 0}, "out_of_stock"),
        ({"stock": -3}, "out_of_stock"),
        ({"since_edit": 6.9}, "manual_edit"),
        ({"promoted": True}, "promotion"),
    ],
)
def test_a_frozen_price_stays_even_outside_its_bounds(seen: dict[str, Any], name: str) -> None:
    assert decide(104_00, **seen) == (100_00, (name,))
    assert decide(104_00, min_price=103_00, **seen) == (100_00, (name,))


def test_all_reasons_for_a_freeze_are_named() -> None:
    assert decide(104_00, views_ever=0, stock=0) == (100_00, ("few_views", "out_of_stock"))


@pytest.mark.parametrize(
    ("wanted", "seen", "new", "acted"),
    [
        (103_00, {}, 103_00, ()),
        (103_00.4, {}, 103_00, ()),
        (100_00, {}, 100_00, ()),
        (float("nan"), {"min_price": 104_00}, 100_00, ()),
        (float("inf"), {}, 105_00, ("step",)),
        (-float("inf"), {}, 95_00, ("floor", "step")),
        (150_00, {}, 105_00, ("step",)),
        (50_00, {}, 95_00, ("floor", "step")),
        (80_00, {}, 95_00, ("step",)),
        (95_00, {"min_price": 97_00}, 97_00, ("floor",)),
        (105_00, {"max_price": 103_00}, 103_00, ("ceiling",)),
        (105_00, {"median_90d": 79_50}, 103_35, ("ceiling",)),
        # cost 78.00 + 10 % fee + 10 % margin: 78 / 0.9 / 0.9 = 96.296…, rounded up
        (95_00, {"cost": 78_00, "fee": 1_000, "rails": Guardrails(least_margin=0.1)}, 96_30, ("floor",)),
        # The floor takes precedence over the ceiling.
        (100_00, {"min_price": 104_00, "max_price": 98_00}, 104_00, ("floor",)),
        # A price outside its bounds moves towards them by one step.
        (100_00, {"min_price": 150_00}, 105_00, ("floor", "step")),
        (100_00, {"max_price": 50_00}, 95_00, ("ceiling", "step")),
        # An unknown cost confines prices to 20 % around the reference.
        (105_00, {"cost": -1, "reference": 86_00}, 103_20, ("ceiling",)),
        (95_00, {"cost": -1, "reference": 121_00}, 96_80, ("floor",)),
        # Limits per day and per month: upwards from the lowest price, downwards from the highest.
        (105_00, {"lowest_1d": 98_00, "highest_1d": 100_00}, 102_90, ("day_limit",)),
        (95_00, {"highest_1d": 102_00, "lowest_1d": 100_00}, 96_90, ("day_limit",)),
        (105_00, {"lowest_30d": 85_00, "highest_30d": 100_00}, 102_00, ("month_limit",)),
        (95_00, {"lowest_30d": 100_00, "highest_30d": 122_00}, 97_60, ("month_limit",)),
        (105_00, {"lowest_30d": 80_00, "highest_30d": 100_00}, 100_00, ("month_limit",)),
        (103_00, {"since_change": 6.9}, 100_00, ("cooldown",)),
        (103_00, {"since_change": 29.9, "min_hold_days": 30}, 100_00, ("min_hold",)),
        (103_00, {"since_change": 6.9, "min_hold_days": 30}, 100_00, ("min_hold",)),
        (103_00, {"since_change": 30, "min_hold_days": 30}, 103_00, ()),
        (101_99, {}, 100_00, ("dead_band",)),
        (102_00, {}, 102_00, ()),
    ],
)
def test_each_guardrail_changes_the_price_and_is_named(
    wanted: float, seen: dict[str, Any], new: int, acted: tuple[str, ...]
) -> None:
    assert decide(wanted, **seen) == (new, acted)


@pytest.mark.parametrize(
    ("ending", "wanted", "seen", "new"),
    [
        ("99", 103_40, {}, 102_99),
        ("90", 103_40, {}, 102_90),
        ("whole", 103_40, {}, 103_00),
        ("whole", 103_50, {}, 103_00),
        ("whole", 103_51, {}, 104_00),
        ("99", 96_60, {}, 96_99),
        # The nearest ending is below the floor, above the ceiling, beyond the step or within the dead band, so the next
        # one on the other side is used.
        ("99", 97_20, {"min_price": 97_10}, 97_99),
        ("99", 103_80, {"max_price": 103_90}, 102_99),
        ("99", 104_99.6, {}, 104_99),
        ("99", 102_10, {}, 102_99),
        # If no price with the ending is allowed, the price has another ending.
        ("99", 103_40, {"min_price": 103_10, "max_price": 103_50}, 103_40),
        ("whole", 2_10, {"price": 2_00, "reference": 2_00, "cost": 1_00}, 2_10),
        # Every price in yen is a whole amount.
        ("99", 103_40, {"minor_per_unit": 1}, 102_99),
    ],
)
def test_price_endings_are_applied_within_all_limits(
    ending: str, wanted: float, seen: dict[str, Any], new: int
) -> None:
    price, acted = decide(wanted, rails=Guardrails(ending=ending), **seen)
    assert price == new
    assert ("ending" in acted) == (new not in {103_40, 2_10})


@pytest.mark.parametrize(
    ("minor_per_unit", "ending", "nearest"),
    [
        (1, "99", 19_99), (1, "90", 19_90), (1, "whole", 20_14),
        (100, "99", 19_99), (100, "90", 19_90), (100, "whole", 20_00),
        (1_000, "99", 1_990), (1_000, "90", 1_900), (1_000, "whole", 2_000),
        (10_000, "99", 9_900), (10_000, "90", 9_000), (10_000, "whole", 0),
    ],
)  # fmt: skip
def test_endings_are_those_of_the_currency(minor_per_unit: int, ending: str, nearest: int) -> None:
    price, low, high = (np.array([figure]) for figure in (20_14, 0, 1_000_000))
    found, fits = nearest_ending(price, low, high, ending, np.array([minor_per_unit]))
    assert (found.tolist(), fits.tolist()) == ([nearest], [True])


def test_guardrail_durations_scale_with_the_epoch() -> None:
    second = 1 / 86_400
    assert decide(103_00, epoch_days=second, since_change=second, history_days=2 * second, since_edit=second) == (
        103_00,
        (),
    )
    assert decide(103_00, epoch_days=second, since_change=0.99 * second) == (100_00, ("cooldown",))
    assert decide(103_00, epoch_days=second, history_days=1.9 * second) == (100_00, ("short_history",))
    assert decide(103_00, epoch_days=14, since_change=13) == (100_00, ("cooldown",))


def test_prices_are_not_lowered_before_a_promotion_that_could_then_state_a_lower_prior_price() -> None:
    assert decide(97_00, until_promotion=29.9) == (100_00, ("before_promotion",))
    assert decide(97_00, until_promotion=30) == (97_00, ())
    assert decide(103_00, until_promotion=1) == (103_00, ())
    assert decide(97_00, until_promotion=1, rails=Guardrails(protect_days=0)) == (97_00, ())
    assert decide(97_00, until_promotion=29, epoch_days=0.1) == (100_00, ("before_promotion",)), "a legal period"


# --- all of them together, said again in plain arithmetic


def slow(wanted: float, row: dict[str, Any], rails: Guardrails) -> tuple[int, tuple[str, ...]]:
    """The guardrails for one product in exact fractions, by the rules of docs/pricing.md."""
    old, acted = row["price"], []
    for name, holds in (
        ("few_views", row["views_ever"] < rails.least_views),
        ("short_history", row["history_days"] < rails.least_history_days),
        ("out_of_stock", row["stock"] <= 0),
        ("manual_edit", row["since_edit"] < 7),
        ("promotion", row["promoted"]),
    ):
        if holds:
            acted.append(name)
    if acted or isnan(wanted):
        return old, tuple(acted)

    def share(number: float) -> Fraction:
        return Fraction(str(number))

    def bound(price: int, low: Any, high: Any, below: str, above: str) -> int:
        if price < low:
            price = ceil(low)
            acted.append(below)
        if price > high:
            price = floor(high)
            if above not in acted:
                acted.append(above)
        return price

    floors, ceilings = [Fraction(MIN_PRICE), Fraction(row["min_price"])], [Fraction(MAX_PRICE)]
    if row["cost"] >= 0:
        floors.append(row["cost"] / (1 - Fraction(row["fee"], 10_000)) / (1 - share(rails.least_margin)))
    else:
        floors.append(row["reference"] * (1 - share(rails.unknown_cost_range)))
        ceilings.append(row["reference"] * (1 + share(rails.unknown_cost_range)))
    if row["max_price"] >= 0:
        ceilings.append(Fraction(row["max_price"]))
    if row["median_90d"] >= 0:
        ceilings.append(row["median_90d"] * (1 + share(rails.over_median)))
    lowest = min(ceil(max(floors)), MAX_PRICE)
    highest = max(floor(min(ceilings)), lowest)
    new = bound(round(min(max(wanted, MIN_PRICE), MAX_PRICE)), lowest, highest, "floor", "ceiling")
    low, high = ceil(old * (1 - share(rails.step))), floor(old * (1 + share(rails.step)))
    new = bound(new, low, high, "step", "step")
    for name, least, most, limit in (
        ("day_limit", row["lowest_1d"], row["highest_1d"], rails.day_range),
        ("month_limit", row["lowest_30d"], row["highest_30d"], rails.month_range),
    ):
        low = max(low, min(old, ceil(most * (1 - share(limit)))))
        high = min(high, max(old, floor(least * (1 + share(limit)))))
        new = bound(new, low, high, name, name)
    if new < old and row["until_promotion"] < rails.protect_days:
        return old, (*acted, "before_promotion")
    if new != old and row["since_change"] < row["min_hold_days"]:
        return old, (*acted, "min_hold")
    if new != old and row["since_change"] < rails.cooldown_days:
        return old, (*acted, "cooldown")
    if new != old and abs(new - old) < old * share(rails.dead_band):
        return old, (*acted, "dead_band")
    if rails.ending != "none" and new != old:
        fits = [
            price
            for price in range(new - 200, new + 201)
            if price % 100 == {"99": 99, "90": 90, "whole": 0}[rails.ending]
            and max(low, lowest) <= price <= min(high, highest)
            and (price > old) == (new > old)
            and price != old
            and abs(price - old) >= old * share(rails.dead_band)
        ]
        best = min(fits, key=lambda price: (abs(price - new), price), default=new)
        if best != new and abs(best - new) <= 100:
            return best, (*acted, "ending")
    return new, tuple(acted)


def wishes(seen: Signals, seed: int) -> Any:
    """Proposals: prices near the old ones, extreme prices, and NaN."""
    rng = np.random.default_rng(seed)
    wanted = seen.price * np.exp(rng.normal(0, 0.08, len(seen)))
    mad = np.array([np.nan, np.inf, -np.inf, -5.0, 0.0, 1e300])
    return np.where(rng.random(len(seen)) < 0.05, rng.choice(mad, len(seen)), wanted)


@pytest.mark.parametrize("rails", SETTINGS)
def test_guardrails_equal_a_scalar_reference_implementation(rails: Guardrails) -> None:
    seen = chaos(400, seed=3)
    wanted = wishes(seen, seed=4)
    new, acted = apply_guardrails(wanted, seen, rails, epoch_days=7.0)
    rows = zip(*(getattr(seen, name).tolist() for name in COLUMNS), strict=True)
    for i, row in enumerate(rows):
        expected = slow(float(wanted[i]), dict(zip(COLUMNS, row, strict=True)), rails)
        assert (int(new[i]), guardrail_names(int(acted[i]))) == expected, dict(zip(COLUMNS, row, strict=True))


@pytest.mark.parametrize("which", range(len(SETTINGS)))
def test_guardrails_hold_for_random_signals(which: int) -> None:
    """Check the rules that every decision must satisfy, in whole numbers and independently of the implementation."""
    rails, size = SETTINGS[which], DECISIONS // len(SETTINGS)
    seen = chaos(size, seed=which)
    new, acted = apply_guardrails(wishes(seen, which), seen, rails, epoch_days=7.0)
    step, day, month, band = (round(100 * s) for s in (rails.step, rails.day_range, rails.month_range, rails.dead_band))
    kept = 10_000 - round(10_000 * rails.least_margin)
    moves = 0
    for row in zip(*(getattr(seen, name).tolist() for name in COLUMNS), new.tolist(), acted.tolist(), strict=True):
        *values, n, flags = row
        was = dict(zip(COLUMNS, values, strict=True))
        old, cost, reference = was["price"], was["cost"], was["reference"]
        if n == old:
            continue
        moves += 1
        assert 1 <= n <= MAX_PRICE
        assert not flags & 0b11111, guardrail_names(flags)
        assert was["stock"] > 0
        assert was["views_ever"] >= rails.least_views
        assert was["history_days"] >= rails.least_history_days
        assert was["since_edit"] >= 7
        assert not was["promoted"]
        assert was["since_change"] >= rails.cooldown_days
        assert old * band <= abs(n - old) * 100 <= old * step
        # No reduction goes below the seller's minimum or the cost. `kept` is 9,000 for a margin of 10 %.
        floors = [
            was["min_price"],
            -(-cost * 10**8 // ((10_000 - was["fee"]) * kept)) if cost >= 0 else -(-reference * 4 // 5),
        ]
        if n < old:
            assert n >= max(floors)
            assert n * 100 >= was["highest_1d"] * (100 - day)
            assert n * 100 >= was["highest_30d"] * (100 - month)
        else:
            assert n * 100 <= was["lowest_1d"] * (100 + day)
            assert n * 100 <= was["lowest_30d"] * (100 + month)
            # A price exceeds a ceiling only if the floor does.
            over = round(10 * rails.over_median)
            assert was["max_price"] < 0 or n <= max(was["max_price"], *floors)
            assert was["median_90d"] < 0 or n * 10 <= max(was["median_90d"] * (10 + over), *(10 * f for f in floors))
            assert cost >= 0 or n <= max(reference * 6 // 5, *floors)
    assert moves > size // 50 or rails.step == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_guarded_price_does_not_depend_on_other_products(ending: str) -> None:
    """A decision does not depend on the other products of the batch."""
    seen, rails = chaos(500, seed=9), Guardrails(ending=ending)
    wanted = wishes(seen, 9)
    new, acted = apply_guardrails(wanted, seen, rails, epoch_days=7.0)
    for at in range(0, 500, 7):
        one = slice(at, at + 1)
        alone, why = apply_guardrails(wanted[one], seen.rows(one), rails, epoch_days=7.0)
        assert (alone[0], why[0]) == (new[at], acted[at])
