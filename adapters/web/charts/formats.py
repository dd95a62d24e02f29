"""How figures are written: the interface between charts and the reader's language."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Unit(StrEnum):
    """What numbers of an axis measure."""

    MONEY = "money"
    """Amounts in major units of one currency, such as 12.5 for € 12.50."""
    COUNT = "count"
    """Whole things: orders, units, views."""
    NUMBER = "number"
    """Other numbers, such as expected units per day."""
    SHARE = "share"
    """Fractions of 1, written as percentages."""


class Precision(StrEnum):
    """Which parts of a time are written."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    """Day and month, without the year."""
    MINUTE = "minute"
    """Hour and minute, without the date."""
    DATE = "date"
    """Day, month and year."""
    MOMENT = "moment"
    """Date, hour and minute."""


class ChartFormats(Protocol):
    """Writes figures for one reader. Charts call it several hundred times, so calls have to be fast."""

    def number(self, value: float, unit: Unit, step: float | None = None) -> str:
        """
        `value` in full or, if `step` is given, as the label of a tick: with the decimals that ticks at this distance
        need, and large numbers in a compact form.
        """

    def time(self, at: datetime, precision: Precision) -> str:
        """`at` as the clock of its own time zone shows it."""

    def smallest_step(self, unit: Unit) -> float:
        """The smallest distance of ticks that `number` can distinguish, such as 0.01 for euros; positive."""
