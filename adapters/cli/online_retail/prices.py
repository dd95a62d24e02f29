"""List prices out of sales: what most of a day's lines paid is the day's price, and its changes are the history."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time

from scalecommerce_core.domain.money import Money


def daily_modes(sales: Iterable[tuple[str, date, int]]) -> dict[str, dict[date, int]]:
    """Per code and day the price that most lines paid.

    A tie goes to the price of the day before, if it is among the tied (a price moves only when more lines say so),
    else to the lowest.
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
    """(valid from, price) of every change, oldest first; a day's price holds from its midnight."""
    history: list[tuple[datetime, Money]] = []
    for day, minor in sorted(modes.items()):
        price = Money(minor, currency)
        if not history or history[-1][1] != price:
            history.append((midnight(day), price))
    return history


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
