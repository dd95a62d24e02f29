"""The prior price of Directive 98/6/EC, article 6a."""

from datetime import UTC, datetime, timedelta

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
