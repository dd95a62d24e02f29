"""The prior price of Directive 98/6/EC, article 6a."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.price_history import lowest_price_30d
from scalecommerce_core.domain.product import PriceCause, PriceChange

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def changes(*prices: tuple[int, int]) -> list[PriceChange]:
    """Of (days ago, cents), oldest first."""
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
def test_it_is_what_looking_at_every_day_finds(prices: list[tuple[int, int]]) -> None:
    history = changes(*sorted(prices, reverse=True))
    *_, current = history
    if current.valid_from <= NOW - timedelta(days=30) or len(history) == 1:
        expected = current.price.minor
    else:
        days = [current.valid_from - timedelta(days=n, seconds=-1) for n in range(1, 31)]
        in_force = [[change.price.minor for change in history if change.valid_from <= day][-1:] for day in days]
        expected = min(price for each in in_force for price in each)
    assert lowest_price_30d(history, NOW).minor == expected


def test_it_is_what_brute_force_finds_in_random_histories() -> None:
    """Looks at every moment when a price can have been in force: the window's opening, and each change within it."""
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


def test_the_example_of_the_law() -> None:
    """9.99 set 60 days ago, 15.00 set 25 days ago, 12.00 now."""
    assert lowest_price_30d(changes((60, 999), (25, 1500), (0, 1200)), NOW) == Money(999, "USD")
