"""Figures in the formats of a locale, by Babel."""

from collections.abc import Callable
from datetime import datetime
from math import ceil, log10
from typing import Final

from attrs import define, field
from babel import Locale, dates, numbers

from adapters.web.charts.formats import Precision, Unit

_COMPACT_FROM: Final = 1000
"""Distance of ticks from which their labels are compact, such as "1.5K"."""


@define
class BabelFormats:
    """Writes figures in the formats of `locale` and money in `currency` (ISO 4217). Results are cached per instance."""

    locale: Locale
    currency: str
    _ticks: dict[tuple[float, Unit, float], str] = field(factory=dict, init=False, eq=False, repr=False)
    _times: dict[tuple[int, Precision], str] = field(factory=dict, init=False, eq=False, repr=False)
    _moments: dict[int, str] = field(factory=dict, init=False, eq=False, repr=False)
    _figures: dict[Unit, Callable[[float], str]] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        locale, currency = self.locale, self.currency

        def money(value: float) -> str:
            return numbers.format_currency(value, currency, locale=locale)

        def count(value: float) -> str:
            return numbers.format_decimal(value, "#,##0", locale=locale)

        def number(value: float) -> str:
            return numbers.format_decimal(value, "#,##0.00", locale=locale)

        def share(value: float) -> str:
            return self._share(value, 2)

        self._figures = {
            Unit.MONEY: _fast(money, numbers.get_currency_precision(currency), locale),
            Unit.COUNT: _fast(count, 0, locale),
            Unit.NUMBER: _fast(number, 2, locale),
            Unit.SHARE: _fast(share, 2, locale, factor=100),
        }

    def number(self, value: float, unit: Unit, step: float | None = None) -> str:
        if step is None:
            return self._figures[unit](value)
        key = (value, unit, step)
        text = self._ticks.get(key)
        if text is None:
            text = self._ticks[key] = self._tick(value, unit, step)
        return text

    def _tick(self, value: float, unit: Unit, step: float) -> str:
        locale, currency = self.locale, self.currency
        if unit is Unit.SHARE:
            return self._share(value, _decimals(step * 100))
        if step >= _COMPACT_FROM:
            # Ticks 50,000 apart need two decimals in millions, and ticks 5,000 apart need three.
            digits = 2 if step >= 10 * _COMPACT_FROM else 3
            if unit is Unit.MONEY:
                return numbers.format_compact_currency(value, currency, locale=locale, fraction_digits=digits)
            return numbers.format_compact_decimal(value, locale=locale, fraction_digits=digits)
        if unit is Unit.MONEY and step < 1:
            return numbers.format_currency(value, currency, locale=locale)
        if unit is Unit.MONEY:
            pattern = locale.currency_formats["standard"].pattern.replace("0.00", "0")
            return numbers.format_currency(value, currency, pattern, locale=locale, currency_digits=False)
        return numbers.format_decimal(value, "#,##0." + "0" * _decimals(step), locale=locale)

    def _share(self, value: float, decimals: int) -> str:
        pattern = self.locale.percent_formats[None].pattern
        if decimals:
            pattern = pattern.replace("0", "0." + "0" * decimals)
        return numbers.format_percent(value, pattern, locale=self.locale)

    def time(self, at: datetime, precision: Precision) -> str:
        if precision is Precision.MOMENT:
            minute = at.toordinal() * 1440 + at.hour * 60 + at.minute
            text = self._moments.get(minute)
            if text is None:
                text = f"{self.time(at, Precision.DATE)} {self.time(at, Precision.MINUTE)}"
                self._moments[minute] = text
            return text
        key = (at.hour * 60 + at.minute if precision is Precision.MINUTE else at.toordinal(), precision)
        text = self._times.get(key)
        if text is None:
            # Babel converts aware times to UTC.
            text = self._times[key] = self._time(at.replace(tzinfo=None), precision)
        return text

    def _time(self, local: datetime, precision: Precision) -> str:
        match precision:
            case Precision.YEAR:
                return dates.format_date(local, "y", self.locale)
            case Precision.MONTH:
                return dates.format_date(local, "LLL", self.locale)
            case Precision.DAY:
                return dates.format_skeleton("MMMd", local, locale=self.locale)
            case Precision.MINUTE:
                return dates.format_time(local, "short", locale=self.locale)
            case _:
                return dates.format_date(local, "medium", self.locale)

    def smallest_step(self, unit: Unit) -> float:
        match unit:
            case Unit.MONEY:
                return float(10.0 ** -numbers.get_currency_precision(self.currency))
            case Unit.COUNT:
                return 1
            case Unit.SHARE | Unit.NUMBER:
                return 1e-6


def _fast(write: Callable[[float], str], decimals: int, locale: Locale, factor: int = 1) -> Callable[[float], str]:
    """
    A function with the results of `write`, about 20 times as fast; `write` writes `factor` times a number. Halves of
    the last decimal may be rounded in the other direction.

    It writes digits in the frame of two samples; `write` itself is returned if the samples show that the locale groups
    or places digits in another way.
    """
    digits = f"{1234567:,.{decimals}f}"
    symbols = str.maketrans({",": numbers.get_group_symbol(locale), ".": numbers.get_decimal_symbol(locale)})

    def localized(value: float) -> str:
        return f"{abs(value) * factor:,.{decimals}f}".translate(symbols)

    before, found, after = write(1234567 / factor).partition(digits.translate(symbols))
    minus, found_negative, after_negative = write(-1234567 / factor).partition(digits.translate(symbols))
    if (
        not found
        or not found_negative
        or after != after_negative
        or write(1234 / factor) != f"{before}{localized(1234 / factor)}{after}"
    ):
        return write

    def fast(value: float) -> str:
        text = localized(value)
        # Like Babel, a number that is rounded to zero keeps its sign; zero has none.
        return f"{minus if value < 0 else before}{text}{after}"

    return fast


def _decimals(step: float) -> int:
    """Decimals of the multiples of `step`, which is 1, 2 or 5 times a power of ten."""
    return max(0, ceil(-log10(step) - 1e-9))
