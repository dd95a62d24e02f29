"""Periods of a panel: whole numbers, dates and times, weeks or months. The form is detected from the whole column."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Final

import numpy as np
from attrs import frozen

from adapters.cli.panel_options import DateOrder
from scalecommerce_core.domain.numbers import parse_integer, quoted
from scalecommerce_core.pricing.arrays import Whole


class _Kind(StrEnum):
    NUMBER = "whole numbers"
    DAY = "dates"
    WEEK = "weeks"
    MONTH = "months"


_FARTHEST: Final = 4 * 10**18
"""Largest absolute period number: covers nanoseconds since 1970, and differences fit 64 bits."""
_TIME: Final = r"(?:[T ,].*)?"
_YEAR_FIRST: Final = re.compile(rf"([0-9]{{4}})([-/.])([0-9]{{1,2}})\2([0-9]{{1,2}}){_TIME}")
_YEAR_LAST: Final = re.compile(rf"([0-9]{{1,2}})([-/.])([0-9]{{1,2}})\2([0-9]{{4}}|[0-9]{{2}}){_TIME}")
_DAY_NAME: Final = re.compile(rf"([0-9]{{1,2}})[- .]+([A-Za-z]{{3,9}})[- .,]+([0-9]{{4}}|[0-9]{{2}}){_TIME}")
_NAME_DAY: Final = re.compile(rf"([A-Za-z]{{3,9}})[ .]+([0-9]{{1,2}}),?[ ]+([0-9]{{4}}){_TIME}")
_WEEK: Final = re.compile(r"([0-9]{4})-?W([0-9]{2})(?:-?[1-7])?", re.IGNORECASE)
_MONTH: Final = re.compile(r"([0-9]{4})[-/]([0-9]{1,2})")
_EIGHT_DIGITS: Final = re.compile(r"(?:19|20)[0-9]{6}")
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_DAYS: Final[Mapping[_Kind, float | None]] = {_Kind.NUMBER: None, _Kind.DAY: 1.0, _Kind.WEEK: 7.0, _Kind.MONTH: 30.44}


class UnreadablePeriod(ValueError):
    """A period cannot be read; `line` is the line of its first cell."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@frozen(eq=False)
class Periods:
    number: Whole
    """The number of each distinct text, in the order of the texts."""
    days: float | None
    """Days of one period; None if the file has numbers whose unit is unknown."""


@frozen
class _Parts:
    """A date whose order of day and month may be unknown: then `first` and `second` are in the order of the text."""

    year: int
    first: int
    second: int
    order: DateOrder | None


def read_periods(texts: Sequence[str], lines: Sequence[int], given: DateOrder | None) -> Periods:
    """Read the distinct texts of a column; `lines` are those of their first occurrence. Raise `UnreadablePeriod`.

    `given` is the order of day and month in dates such as 03/04/2026; without it, the order must follow from a date of
    the column, such as 31/01/2026.
    """
    stripped = [text.strip() for text in texts]
    if stripped and all(_EIGHT_DIGITS.fullmatch(text) for text in stripped):
        dashed = [f"{text[:4]}-{text[4:6]}-{text[6:]}" for text in stripped]
        if all(_is_date(text) for text in dashed):
            stripped = dashed
    kinds = [_kind(text, line) for text, line in zip(stripped, lines, strict=True)]
    for kind, text, line in zip(kinds, stripped, lines, strict=True):
        if kind is not kinds[0]:
            raise UnreadablePeriod(
                line,
                f"{quoted(text)} and {quoted(stripped[0])} in line {lines[0]} are not of one form:"
                f" {kind} and {kinds[0]}",
            )
    kind = kinds[0] if kinds else _Kind.NUMBER
    if kind is _Kind.DAY:
        numbers = _days(stripped, lines, given)
    else:
        numbers = [_number(kind, text, line) for text, line in zip(stripped, lines, strict=True)]
    return Periods(np.array(numbers, dtype=np.int64), _DAYS[kind])


def _kind(text: str, line: int) -> _Kind:
    if _WEEK.fullmatch(text):
        return _Kind.WEEK
    if _MONTH.fullmatch(text):
        return _Kind.MONTH
    if any(form.fullmatch(text) for form in (_YEAR_FIRST, _YEAR_LAST, _DAY_NAME, _NAME_DAY)):
        return _Kind.DAY
    try:
        number = parse_integer(text)
    except ValueError as wrong:
        raise UnreadablePeriod(
            line,
            f"{quoted(text)} is neither a whole number nor a date or time such as 2026-01-31, 31.01.2026, 31 Jan 2026,"
            " 2026-W05 or 2026-01",
        ) from wrong
    if abs(number) > _FARTHEST:
        raise UnreadablePeriod(line, f"{number} is beyond the periods that can be counted")
    return _Kind.NUMBER


def _number(kind: _Kind, text: str, line: int) -> int:
    if kind is _Kind.NUMBER:
        return parse_integer(text)
    found = (_WEEK if kind is _Kind.WEEK else _MONTH).fullmatch(text)
    year, part = (int(each) for each in found.groups()) if found else (0, 0)
    try:
        if kind is _Kind.WEEK:
            return date.fromisocalendar(year, part, 1).toordinal() // 7
        return date(year, part, 1).year * 12 + part
    except ValueError as wrong:
        raise UnreadablePeriod(line, f"there is no {kind.removesuffix('s')} {quoted(text)}") from wrong


def _days(texts: Sequence[str], lines: Sequence[int], given: DateOrder | None) -> list[int]:
    parts = [_parts(text, line) for text, line in zip(texts, lines, strict=True)]
    order = given or _order(parts, texts, lines)
    numbers = []
    for each, text, line in zip(parts, texts, lines, strict=True):
        month_first = (each.order or order) is DateOrder.MONTH_FIRST
        day, month = (each.second, each.first) if month_first else (each.first, each.second)
        try:
            numbers.append(date(each.year, month, day).toordinal())
        except ValueError as wrong:
            said = "" if each.order else f" if the {'month' if month_first else 'day'} comes first"
            raise UnreadablePeriod(line, f"there is no date {quoted(text)}{said}") from wrong
    return numbers


def _parts(text: str, line: int) -> _Parts:
    if found := _YEAR_FIRST.fullmatch(text):
        return _Parts(int(found[1]), int(found[3]), int(found[4]), DateOrder.MONTH_FIRST)
    if found := _YEAR_LAST.fullmatch(text):
        # Dates with points have the day first in all countries that write them.
        order = DateOrder.DAY_FIRST if found[2] == "." else None
        return _Parts(_full_year(found[4]), int(found[1]), int(found[3]), order)
    if found := _DAY_NAME.fullmatch(text):
        return _Parts(_full_year(found[3]), int(found[1]), _month(found[2], text, line), DateOrder.DAY_FIRST)
    found = _NAME_DAY.fullmatch(text)
    if found is None:
        raise UnreadablePeriod(line, f"{quoted(text)} is not a date")
    return _Parts(int(found[3]), int(found[2]), _month(found[1], text, line), DateOrder.DAY_FIRST)


def _order(parts: Sequence[_Parts], texts: Sequence[str], lines: Sequence[int]) -> DateOrder:
    open_ones = [number for number, each in enumerate(parts) if each.order is None]
    day_first = next((number for number in open_ones if parts[number].first > 12), None)
    month_first = next((number for number in open_ones if parts[number].second > 12), None)
    if day_first is not None and month_first is not None:
        raise UnreadablePeriod(
            lines[max(day_first, month_first)],
            f"{quoted(texts[day_first])} in line {lines[day_first]} has the day first, {quoted(texts[month_first])} in"
            f" line {lines[month_first]} the month: write all dates alike",
        )
    if day_first is None and month_first is None and open_ones:
        number = open_ones[0]
        raise UnreadablePeriod(
            lines[number],
            f"{quoted(texts[number])} may have the day or the month first, and no date of the column tells which: say"
            f" --dates {DateOrder.DAY_FIRST} or --dates {DateOrder.MONTH_FIRST}",
        )
    return DateOrder.MONTH_FIRST if month_first is not None else DateOrder.DAY_FIRST


def _full_year(digits: str) -> int:
    return int(digits) if len(digits) == 4 else 2000 + int(digits)


def _month(name: str, text: str, line: int) -> int:
    for number, month in enumerate(_MONTHS, 1):
        if month.startswith(name.lower()):
            return number
    raise UnreadablePeriod(line, f"{quoted(text)} has no month that is known: write English names, or numbers")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
