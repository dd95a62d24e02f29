"""Derives price histories from sales: the list price of a day is the price of most lines of that day."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time

from scalecommerce_core.domain.money import Money


def daily_modes(sales: Iterable[tuple[str, date, int]]) -> dict[str, dict[date, int]]:
    """The most frequent price per code and day.

    Among equally frequent prices, the price of the previous day is chosen if it is one of them, else the lowest.
    """
    counted: defaultdict[str, defaultdict[date, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for (code, day, price), lines in Counter(sales).items():
        counted[code][day][price] = lines
    modes: dict[str, dict[date, int]] = {}
    for code, days in counted.items():
        in_force: int | None = None
        modes[code] = {}
        for day in sorted(days):
            most = max(days[day].values())
            tied = [price for price, lines in days[day].items() if lines == most]
            if in_force not in tied:
                in_force = min(tied)
            modes[code][day] = in_force
    return modes


def price_history(modes: Mapping[date, int], currency: str) -> list[tuple[datetime, Money]]:
    """(valid from, price) of every change, oldest first; a price is valid from midnight (UTC) of its day."""
    history: list[tuple[datetime, Money]] = []
    for day, minor in sorted(modes.items()):
        price = Money(minor, currency)
        if not history or history[-1][1] != price:
            history.append((midnight(day), price))
    return history


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
