"""Positions of ticks: multiples of 1, 2 or 5 times a power of ten, and natural boundaries of times."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from math import ceil, floor, log10
from typing import Final, NamedTuple

from attrs import frozen

from adapters.web.charts.formats import Precision


@frozen
class NumberTicks:
    """Ascending `values`, multiples of `step`."""

    values: tuple[float, ...]
    step: float


def number_ticks(low: float, high: float, most: int, smallest_step: float, *, cover: bool) -> NumberTicks:
    """
    At most `most` ticks (at least two) for the interval from `low` to `high`, `low` < `high`.

    With `cover`, the first and the last tick enclose the interval; otherwise all ticks lie within it, of which there
    may be one or none if the interval is shorter than `smallest_step`.
    """
    exponent = floor(log10((high - low) / max(most, 2))) - 1
    while True:
        for factor in (1, 2, 5):
            step = _multiple(factor, exponent)
            if step < smallest_step * (1 - 1e-9):
                continue
            first, last = low / step, high / step
            # Rounding errors must not add or remove a tick.
            slack = 1e-9 * max(1, abs(first), abs(last))
            if cover:
                begin, end = floor(first + slack), ceil(last - slack)
                # The sum of both may be a step too short for equal bounds.
                end = max(end, begin + 1)
            else:
                begin, end = ceil(first - slack), floor(last + slack)
            if end - begin < max(most, 2):
                return NumberTicks(tuple(_multiple(k * factor, exponent) for k in range(begin, end + 1)), step)
        exponent += 1


def _multiple(factor: int, exponent: int) -> float:
    """`factor` times ten to the `exponent`, rounded once."""
    return float(factor * 10**exponent) if exponent >= 0 else factor / 10**-exponent


class TimeTick(NamedTuple):
    """A tick at `at`, labelled with `precision`."""

    at: datetime
    precision: Precision


_HOUR: Final = 60
_DAY: Final = 24 * _HOUR
_MINUTES: Final = (1, 5, 15, 30, _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR)
_DAYS: Final = (1, 2, 7, 14)
_MONTHS: Final = (1, 3, 6, 12, 24, 60, 120, 240, 600)
_MONDAY: Final = 1
"""Ordinal of a Monday (1 January of the year 1)."""


def time_ticks(start: datetime, end: datetime, most: int) -> tuple[TimeTick, ...]:
    """
    At most `most` ascending ticks (`most` at least 1) from `start` to `end`, on whole minutes, hours, days, Mondays,
    months or years of the time zone of `start`; several per day are labelled with the time, midnights with the day.
    """
    zone = start.tzinfo
    first, last = start.replace(tzinfo=None), end.astimezone(zone).replace(tzinfo=None)
    minutes = (last - first) / timedelta(minutes=1)
    for step in _MINUTES:
        if minutes / step <= most + 1:
            ticks = _within(_by_minutes(first, step), last, most)
            if ticks is not None:
                return _ascending(
                    TimeTick(at.replace(tzinfo=zone), Precision.MINUTE if at.hour or at.minute else Precision.DAY)
                    for at in ticks
                )
    for step in _DAYS:
        if minutes / _DAY / step <= most + 1:
            ticks = _within(_by_days(first, step), last, most)
            if ticks is not None:
                return _ascending(TimeTick(at.replace(tzinfo=zone), Precision.DAY) for at in ticks)
    for step in _MONTHS:
        ticks = _within(_by_months(first, step), last, most)
        if ticks is not None:
            return _ascending(
                TimeTick(at.replace(tzinfo=zone), Precision.YEAR if at.month == 1 else Precision.MONTH) for at in ticks
            )
    return ()


def _within(ticks: Iterator[datetime], last: datetime, most: int) -> list[datetime] | None:
    """The `ticks` until `last`, or None if there are more than `most`."""
    found: list[datetime] = []
    for at in ticks:
        if at > last:
            return found
        if len(found) == most:
            return None
        found.append(at)
    return found


def _ascending(ticks: Iterator[TimeTick]) -> tuple[TimeTick, ...]:
    """`ticks` without those that do not follow their predecessor, such as times that a change of clocks skips."""
    kept: list[TimeTick] = []
    for tick in ticks:
        if not kept or tick.at.timestamp() > kept[-1].at.timestamp():
            kept.append(tick)
    return tuple(kept)


def _by_minutes(first: datetime, step: int) -> Iterator[datetime]:
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    count = ceil((first - midnight) / timedelta(minutes=step))
    while True:
        yield midnight + timedelta(minutes=count * step)
        count += 1


def _by_days(first: datetime, step: int) -> Iterator[datetime]:
    ordinal = first.toordinal() + (first.time() > datetime.min.time())
    ordinal += -(ordinal - _MONDAY) % step
    while ordinal <= date.max.toordinal():
        yield datetime.fromordinal(ordinal)
        ordinal += step


def _by_months(first: datetime, step: int) -> Iterator[datetime]:
    is_later = (first.day, first.time()) > (1, datetime.min.time())
    month = first.year * 12 + first.month - 1 + is_later
    month += -month % step
    while month < 12 * date.max.year:
        yield datetime(month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - local times of the caller's zone
        month += step
