"""The prior price of Directive 98/6/EC, article 6a."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.price_history import (
    RunningPromotion,
    lowest_price_30d,
    lowest_price_before,
    reduction_in_force,
)
from scalecommerce_core.domain.product import PriceCause, PriceChange

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANNOUNCING = Path(__file__).parents[4] / "docs/announcing-reductions.md"


def changes(*prices: tuple[int, int]) -> list[PriceChange]:
    """Price changes given as (days ago, cents), oldest first."""
    return [
        PriceChange(ProductId(1), Money(cents, "USD"), NOW - timedelta(days=days), PriceCause.MANUAL)
        for days, cents in prices
    ]


@pytest.mark.parametrize(
    ("prices", "lowest"),
    [
        ([(60, 999), (25, 1500), (0, 1200)], 999),
        ([(60, 999), (31, 1500), (0, 1200)], 1500),
        ([(60, 999), (30, 1500), (0, 1200)], 1500),
        ([(60, 999), (29, 1500), (0, 1200)], 999),
        ([(5, 999)], 999),
        ([(60, 999)], 999),
        ([(60, 999), (30, 1500)], 1500),
        ([(60, 999), (29, 1500)], 999),
        ([(90, 500), (45, 2000), (10, 1500), (5, 1000)], 1500),
        ([(90, 500), (34, 2000), (10, 1500), (5, 1000)], 500),
    ],
)
def test_the_lowest_price_before_the_one_in_force(prices: list[tuple[int, int]], lowest: int) -> None:
    assert lowest_price_30d(changes(*prices), NOW) == Money(lowest, "USD")


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 20)), min_size=1, max_size=8, unique_by=lambda c: c[0]))
def test_the_lowest_price_equals_that_of_a_day_by_day_check(prices: list[tuple[int, int]]) -> None:
    history = changes(*sorted(prices, reverse=True))
    *_, current = history
    if current.valid_from <= NOW - timedelta(days=30) or len(history) == 1:
        expected = current.price.minor
    else:
        days = [current.valid_from - timedelta(days=n, seconds=-1) for n in range(1, 31)]
        in_force = [[change.price.minor for change in history if change.valid_from <= day][-1:] for day in days]
        expected = min(price for each in in_force for price in each)
    assert lowest_price_30d(history, NOW).minor == expected


def test_the_lowest_price_equals_brute_force_in_random_histories() -> None:
    """Check each time at which a price can have begun: the beginning of the window, and each change within it."""
    random = Random(1)
    for _ in range(3_000):
        minutes = sorted(random.sample(range(120 * 1_440), random.randint(1, 12)), reverse=True)
        history = [
            PriceChange(
                ProductId(1), Money(random.randint(1, 30), "USD"), NOW - timedelta(minutes=at), PriceCause.MANUAL
            )
            for at in minutes
        ]
        *_, current = history

        def in_force(moment: datetime, history: list[PriceChange] = history) -> list[int]:
            return [change.price.minor for change in history if change.valid_from <= moment][-1:]

        opens = current.valid_from - timedelta(days=30)
        moments = [opens, *(change.valid_from for change in history if opens < change.valid_from < current.valid_from)]
        before = [price for moment in moments for price in in_force(moment)]
        unreduced = not before or current.valid_from <= NOW - timedelta(days=30)
        expected = current.price.minor if unreduced else min(before)
        assert lowest_price_30d(history, NOW).minor == expected


def test_the_examples_of_the_directives_guidance_hold() -> None:
    """9.99 set 60 days ago, 15.00 set 25 days ago, 12.00 now."""
    assert lowest_price_30d(changes((60, 999), (25, 1500), (0, 1200)), NOW) == Money(999, "USD")


# --- reductions


@pytest.mark.parametrize(
    ("prices", "announced"),
    [
        # Nothing is reduced: a first price, a raise, a price that was lower within 30 days, one that is back again.
        ([(60, 1000)], None),
        ([(60, 1000), (5, 1200)], None),
        ([(60, 999), (25, 1500), (0, 1200)], None),
        ([(60, 1000), (20, 1200), (10, 1000)], None),
        # One reduction, on its first day, after 30 days, and after a year.
        ([(60, 1000), (0, 800)], (0, 1000, 0, 1000)),
        ([(90, 1000), (31, 800)], (31, 1000, 31, 1000)),
        ([(400, 1000), (365, 800)], (365, 1000, 365, 1000)),
        # The price in force when the 30 days began counts; one that ended before does not.
        ([(100, 900), (40, 1000), (10, 800)], (10, 1000, 10, 1000)),
        ([(100, 900), (39, 1000), (10, 800)], (10, 900, 10, 900)),
        # A reduction in steps, fast or slow: the prior price of the last step, and the prior price of the first step.
        ([(60, 1000), (20, 900), (10, 800), (0, 700)], (0, 800, 20, 1000)),
        ([(300, 1000), (200, 900), (100, 800)], (100, 900, 200, 1000)),
        # A raise begins anew.
        ([(90, 1000), (60, 700), (50, 900), (10, 800)], (10, 900, 10, 900)),
        ([(90, 1000), (60, 700), (35, 900), (10, 800)], None),
        # Lower than before the last step, but not than before the first.
        ([(90, 600), (60, 1000), (45, 900), (10, 800)], (10, 900, 45, None)),
    ],
)
def test_reductions_are_announced_by_the_rules(
    prices: list[tuple[int, int]], announced: tuple[int, int, int, int | None] | None
) -> None:
    found = reduction_in_force(changes(*prices))
    if announced is None:
        assert found is None
    else:
        assert found is not None
        since, prior, first_since, first_prior = announced
        assert (NOW - found.applied_at, found.prior_price.minor) == (timedelta(days=since), prior)
        assert NOW - found.first_applied_at == timedelta(days=first_since)
        assert (found.first_prior_price and found.first_prior_price.minor) == first_prior


def test_the_example_of_the_documentation() -> None:
    """docs/announcing-reductions.md, day by day."""
    text = ANNOUNCING.read_text().partition("\n## Promotions\n")[0]
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| (.*?) \| (.*?) ?\|$", text, re.MULTILINE)
    assert len(rows) == 7
    history: list[PriceChange] = []
    for day, price, prior, first_prior in rows:
        change = PriceChange(ProductId(1), Money.of(price, "USD"), NOW + timedelta(days=int(day)), PriceCause.MANUAL)
        if not history or history[-1].price != change.price:
            history.append(change)
        found = reduction_in_force(history)
        assert (found is None) == prior.startswith("no reduction")
        if found is not None:
            assert found.prior_price == Money.of(prior, "USD")
            told = None if first_prior.startswith("no price") else Money.of(first_prior, "USD")
            assert found.first_prior_price == told


def test_the_example_of_promotions_in_the_documentation() -> None:
    text = ANNOUNCING.read_text().partition("\n## Promotions\n")[2]
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| (.*?) \| (.*?) ?\|$", text, re.MULTILINE)
    assert len(rows) == 6
    history: list[PriceChange] = []
    promotion = None
    for day, price, event, prior in rows:
        at = NOW + timedelta(days=int(day))
        if "promotion starts" in event:
            lowest = lowest_price_before(history, at)
            assert lowest is not None
            promotion = RunningPromotion("Sale", at, at + timedelta(days=40), lowest)
        elif "promotion ends" in event:
            promotion = None
        if not history or history[-1].price != Money.of(price, "USD"):
            # The sweep puts a promotional price in force a moment after the announced start.
            at += timedelta(seconds=1)
            history.append(PriceChange(ProductId(1), Money.of(price, "USD"), at, PriceCause.MANUAL))
        found = reduction_in_force(history, promotion)
        assert (found is None) == prior.startswith("no reduction")
        if found is not None:
            assert found.prior_price == Money.of(prior, "USD")


def test_a_promotion_without_a_later_price_change_announces_what_was_in_force_before() -> None:
    history = changes((100, 2_000), (20, 1_500))
    running = RunningPromotion("Sale", NOW - timedelta(days=5), NOW, Money(1_500, "USD"))
    assert reduction_in_force(history, running) == reduction_in_force(history)
    early = RunningPromotion("Sale", NOW - timedelta(days=25), NOW, Money(2_000, "USD"))
    found = reduction_in_force(history, early)
    assert found is not None
    assert (found.applied_at, found.first_applied_at) == (early.starts_at, early.starts_at)
    assert reduction_in_force(history, RunningPromotion("Sale", early.starts_at, NOW, Money(1_500, "USD"))) is None


def test_successive_reductions_before_a_promotion_belong_to_its_series() -> None:
    history = changes((100, 2_000), (40, 1_800), (4, 1_500))
    running = RunningPromotion("Sale", NOW - timedelta(days=5), NOW, Money(1_800, "USD"))
    found = reduction_in_force(history, running)
    assert found is not None
    assert (found.prior_price.minor, NOW - found.first_applied_at) == (1_800, timedelta(days=40))
    assert found.first_prior_price == Money(2_000, "USD")


def test_reductions_equal_brute_force_in_random_histories() -> None:
    """The expected values are computed hour by hour: over the 30 days, and back to the last increase."""
    random = Random(2)
    announced = in_steps = 0
    for _ in range(1_500):
        hours = sorted(random.sample(range(90 * 24), random.randint(1, 8)), reverse=True)
        history = [
            PriceChange(ProductId(1), Money(random.randint(1, 12), "USD"), NOW - timedelta(hours=at), PriceCause.MANUAL)
            for at in hours
        ]
        history = [
            change for place, change in enumerate(history) if not place or change.price != history[place - 1].price
        ]
        price_at = {(NOW - change.valid_from) // timedelta(hours=1): change.price.minor for change in history}
        oldest = max(price_at)
        by_hour: list[int] = []  # from the first hour on
        for at in range(oldest, -1, -1):
            by_hour.append(price_at.get(at, by_hour[-1] if by_hour else 0))

        def lowest(begins: int, by_hour: list[int] = by_hour) -> int | None:
            return min(by_hour[max(begins - 30 * 24, 0) : begins], default=None)

        begins = oldest - min(price_at)
        first = begins
        while first and by_hour[first] < by_hour[first - 1]:
            step = first
            first = next((hour for hour in range(step - 1, 0, -1) if by_hour[hour] != by_hour[hour - 1]), 0)
            if not first or by_hour[first] > by_hour[first - 1]:
                first = step
                break
        prior, first_prior = lowest(begins), lowest(first)
        found = reduction_in_force(history)
        if prior is None or prior <= by_hour[-1]:
            assert found is None
            continue
        assert found is not None
        assert first_prior is not None
        announced += 1
        in_steps += first != begins
        assert (found.prior_price.minor, found.applied_at) == (prior, history[-1].valid_from)
        assert found.first_applied_at == NOW - timedelta(hours=oldest - first)
        expected = first_prior if first_prior > by_hour[-1] else None
        assert (found.first_prior_price and found.first_prior_price.minor) == expected
    assert announced > 200
    assert in_steps > 100
