"""Ticks of numbers and times."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import isclose, log10
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.web.charts.formats import Precision
from adapters.web.charts.ticks import number_ticks, time_ticks

BERLIN = ZoneInfo("Europe/Berlin")
figures = st.floats(-1e15, 1e15)


@given(figures, figures, st.integers(2, 12), st.booleans())
def test_ticks_ascend_by_one_two_or_five_and_are_not_too_many(low: float, high: float, most: int, cover: bool) -> None:
    low, high = min(low, high), max(low, high)
    assume(high - low > 1e-6 + 1e-9 * max(abs(low), abs(high)))
    ticks = number_ticks(low, high, most, 1e-9, cover=cover)
    assert len(ticks.values) <= most
    assert all(one < other for one, other in pairwise(ticks.values))
    mantissa = 10 ** (log10(ticks.step) % 1)
    assert any(isclose(mantissa, nice, rel_tol=1e-6) for nice in (1, 2, 5, 10))
    slack = ticks.step * 1e-3
    if cover:
        assert ticks.values[0] <= low + slack
        assert ticks.values[-1] >= high - slack
    else:
        assert all(low - slack <= value <= high + slack for value in ticks.values)


def test_ticks_are_exact_decimals() -> None:
    assert number_ticks(0, 0.3, 4, 0.01, cover=True).values == (0, 0.1, 0.2, 0.3)
    assert number_ticks(-3, 12, 6, 1, cover=True).values == (-5, 0, 5, 10, 15)


def test_ticks_are_at_least_the_smallest_step_apart() -> None:
    assert number_ticks(0, 1, 6, 1, cover=True).values == (0, 1)
    assert number_ticks(12.901, 12.902, 6, 0.01, cover=True).values == (12.9, 12.91)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - without a zone on purpose
    st.timedeltas(timedelta(minutes=1), timedelta(days=20_000)),
    st.integers(1, 10),
    st.sampled_from([UTC, BERLIN, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/St_Johns")]),
)
def test_ticks_of_times_ascend_within_the_period(start: datetime, length: timedelta, most: int, zone: ZoneInfo) -> None:
    begin = start.replace(tzinfo=UTC).astimezone(zone)
    end = (start.replace(tzinfo=UTC) + length).astimezone(zone)
    ticks = time_ticks(begin, end, most)
    assert len(ticks) <= most
    stamps = [tick.at.timestamp() for tick in ticks]
    assert all(one < other for one, other in pairwise(stamps))
    # An hour that clocks repeat or skip moves a tick by an hour at most.
    assert all(begin.timestamp() - 3600 <= stamp <= end.timestamp() + 3600 for stamp in stamps)
    assert all((tick.at.second, tick.at.microsecond) == (0, 0) for tick in ticks)


@pytest.mark.parametrize(
    ("hours", "most", "expected"),
    [
        (1, 6, ["05-11 00:00", "05-11 00:15", "05-11 00:30", "05-11 00:45", "05-11 01:00"]),
        (24, 5, ["05-11 00:00", "05-11 06:00", "05-11 12:00", "05-11 18:00", "05-12 00:00"]),
        (24 * 7, 8, [f"05-{day} 00:00" for day in range(11, 19)]),
        (24 * 30, 6, ["05-11 00:00", "05-18 00:00", "05-25 00:00", "06-01 00:00", "06-08 00:00"]),
        (24 * 365, 5, ["07-01 00:00", "10-01 00:00", "01-01 00:00", "04-01 00:00"]),
    ],
)
def test_ticks_of_times_stand_at_natural_boundaries(hours: int, most: int, expected: list[str]) -> None:
    start = datetime(2026, 5, 11, tzinfo=BERLIN)
    ticks = time_ticks(start, start + timedelta(hours=hours), most)
    assert [f"{tick.at:%m-%d %H:%M}" for tick in ticks] == expected


def test_weeks_begin_on_mondays() -> None:
    start = datetime(2026, 5, 13, 9, tzinfo=UTC)
    assert {tick.at.weekday() for tick in time_ticks(start, start + timedelta(days=40), 6)} == {0}


def test_labels_name_the_largest_boundary() -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)
    hours = time_ticks(start, start + timedelta(days=1), 5)
    assert [tick.precision for tick in hours] == [Precision.DAY, *[Precision.MINUTE] * 3, Precision.DAY]
    months = time_ticks(start, start + timedelta(days=90), 4)
    assert [tick.precision for tick in months] == [Precision.MONTH, Precision.YEAR, Precision.MONTH]


def test_hours_that_clocks_skip_or_repeat_do_not_confuse_ticks() -> None:
    skipped = datetime(2026, 3, 29, tzinfo=BERLIN)
    assert [f"{tick.at:%H}" for tick in time_ticks(skipped, skipped + timedelta(hours=5), 8)] == [
        "00", "01", "02", "04", "05",
    ]  # fmt: skip
    repeated = datetime(2026, 10, 25, tzinfo=BERLIN)
    stamps = [tick.at.timestamp() for tick in time_ticks(repeated, repeated + timedelta(hours=5), 8)]
    assert stamps == sorted(set(stamps))
