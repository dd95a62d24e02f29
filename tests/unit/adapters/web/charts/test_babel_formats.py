"""Figures in the formats of a locale."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from babel import Locale, numbers
from hypothesis import given
from hypothesis import strategies as st

from adapters.web.charts.babel_formats import BabelFormats
from adapters.web.charts.formats import Precision, Unit

LOCALES = ["en", "ru", "de", "de_CH", "pl", "es", "hi", "ar", "fa", "pt_PT", "sv"]


def in_cents(value: float) -> float:
    """`value` in cents, and 0 for -0.0, which Babel writes with its sign."""
    return round(value, 2) + 0.0


@given(st.sampled_from(LOCALES), st.sampled_from(["EUR", "KWD"]), st.floats(-1e12, 1e12).map(in_cents))
def test_money_is_written_as_babel_writes_it(locale: str, currency: str, value: float) -> None:
    formats = BabelFormats(Locale.parse(locale), currency)
    assert formats.number(value, Unit.MONEY) == numbers.format_currency(value, currency, locale=locale)


@given(st.sampled_from(LOCALES), st.integers(-(10**9), 10**9))
def test_whole_numbers_are_written_as_babel_writes_them(locale: str, value: int) -> None:
    formats = BabelFormats(Locale.parse(locale), "JPY")
    assert formats.number(value, Unit.COUNT) == numbers.format_decimal(value, "#,##0", locale=locale)
    assert formats.number(value, Unit.MONEY) == numbers.format_currency(value, "JPY", locale=locale)


@given(st.sampled_from(LOCALES), st.floats(-1e6, 1e6).map(in_cents))
def test_other_numbers_are_written_as_babel_writes_them(locale: str, value: float) -> None:
    formats = BabelFormats(Locale.parse(locale), "EUR")
    assert formats.number(value, Unit.NUMBER) == numbers.format_decimal(value, "#,##0.00", locale=locale)


@pytest.mark.parametrize(
    ("value", "unit", "step", "expected"),
    [
        (12.5, Unit.MONEY, 0.5, "€12.50"),
        (12, Unit.MONEY, 2, "€12"),
        (0, Unit.MONEY, 500, "€0"),
        (1_500_000, Unit.MONEY, 500_000, "€1.5M"),
        (1_050_000, Unit.MONEY, 50_000, "€1.05M"),
        (1_005_000, Unit.COUNT, 5_000, "1.005M"),
        (0.05, Unit.SHARE, 0.01, "5%"),
        (0.005, Unit.SHARE, 0.005, "0.5%"),
        (2, Unit.COUNT, 1, "2"),
        (0.25, Unit.NUMBER, 0.05, "0.25"),
    ],
)
def test_ticks_have_the_decimals_of_their_distance(value: float, unit: Unit, step: float, expected: str) -> None:
    assert BabelFormats(Locale.parse("en"), "EUR").number(value, unit, step) == expected


def test_shares_are_percentages() -> None:
    assert BabelFormats(Locale.parse("en"), "EUR").number(0.0256, Unit.SHARE) == "2.56%"
    assert BabelFormats(Locale.parse("ru"), "EUR").number(-0.5, Unit.SHARE) == "-50,00\u00a0%"


def test_money_follows_locale_and_currency() -> None:
    assert BabelFormats(Locale.parse("ru"), "RUB").number(1234.5, Unit.MONEY) == "1\u00a0234,50\u00a0₽"
    assert BabelFormats(Locale.parse("en"), "JPY").smallest_step(Unit.MONEY) == 1
    assert BabelFormats(Locale.parse("en"), "KWD").smallest_step(Unit.MONEY) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("precision", "english", "russian"),
    [
        (Precision.YEAR, "2026", "2026"),
        (Precision.MONTH, "May", "май"),
        (Precision.DAY, "May 12", "12 мая"),
        (Precision.MINUTE, "2:05\u202fPM", "14:05"),
        (Precision.DATE, "May 12, 2026", "12 мая 2026\u202fг."),
        (Precision.MOMENT, "May 12, 2026 2:05\u202fPM", "12 мая 2026\u202fг. 14:05"),
    ],
)
def test_times_follow_the_locale(precision: Precision, english: str, russian: str) -> None:
    at = datetime(2026, 5, 12, 14, 5, tzinfo=UTC)
    assert BabelFormats(Locale.parse("en"), "EUR").time(at, precision) == english
    assert BabelFormats(Locale.parse("ru"), "EUR").time(at, precision) == russian


def test_times_are_those_of_their_own_zone() -> None:
    formats = BabelFormats(Locale.parse("ru"), "EUR")
    at = datetime(2026, 5, 11, 23, 30, tzinfo=UTC)
    assert formats.time(at, Precision.MINUTE) == "23:30"
    assert formats.time(at.astimezone(ZoneInfo("Europe/Berlin")), Precision.MOMENT) == "12 мая 2026\u202fг. 01:30"
