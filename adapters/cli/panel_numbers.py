"""Numbers of a file whose decimal sign is not known: detected from all cells together, never guessed from one."""

import re
from array import array
from typing import Final, NamedTuple

from adapters.cli.panel_options import DecimalSign
from scalecommerce_core.domain.numbers import MAX_LENGTH, NotNumber, parse_float, quoted

_SPACES: Final = " \u00a0\u202f'\u2019"
"""Group separators in use besides point and comma."""
_NUMERIC: Final = re.compile(rf"-?[0-9][0-9.,{_SPACES}]*")
_GROUPED: Final = {
    DecimalSign.POINT: re.compile(rf"-?[0-9]{{1,3}}(?:[,{_SPACES}][0-9]{{3}})*(?:\.[0-9]+)?"),
    DecimalSign.COMMA: re.compile(rf"-?[0-9]{{1,3}}(?:[.{_SPACES}][0-9]{{3}})*(?:,[0-9]+)?"),
}
_PLAIN_COMMA: Final = re.compile(r"-?[0-9]+(?:,[0-9]+)?")
_EITHER: Final = re.compile(r"-?[1-9][0-9]{0,2}[.,][0-9]{3}")
"""1,290 or 1.290: a decimal number, or a whole one with a group separator."""


class Unreadable(ValueError):
    """A cell is not a number; `line` is its line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Pending(NamedTuple):
    position: int
    line: int
    text: str


class NumberColumn:
    """Collects the cells of a column. `values` are final after `settle` with the decimal sign of the file."""

    def __init__(self, name: str, given: DecimalSign | None) -> None:
        self.name = name
        self.values = array("d")
        self.seen: dict[DecimalSign, tuple[int, str]] = {}
        """A cell (line and text) that can only have this decimal sign."""
        self._given = given
        self._pending: list[_Pending] = []

    def add(self, text: str, line: int) -> None:
        text = text.strip()
        if self._given is not DecimalSign.COMMA:
            try:
                value = parse_float(text)
            except NotNumber as wrong:
                if len(text) > MAX_LENGTH or not _NUMERIC.fullmatch(text):
                    raise Unreadable(line, f"{self.name}: {wrong}") from wrong
            else:
                if "." not in text or self._given:
                    self.values.append(value)
                    return
                if not _EITHER.fullmatch(text):
                    self.seen.setdefault(DecimalSign.POINT, (line, text))
                    self.values.append(value)
                    return
        if self._given is None:
            for sign in DecimalSign:
                if _only(text, sign):
                    self.seen.setdefault(sign, (line, text))
        self._pending.append(_Pending(len(self.values), line, text))
        self.values.append(0.0)

    def settle(self, sign: DecimalSign | None) -> None:
        """Convert the cells that depend on the decimal sign; None if no cell shows it. Raise `Unreadable`."""
        for position, line, text in self._pending:
            if sign is None and "," in text and _EITHER.fullmatch(text):
                raise Unreadable(
                    line,
                    f"{self.name}: {quoted(text)} may be a decimal number or have a group separator: say --decimal"
                    f" {DecimalSign.COMMA} or --decimal {DecimalSign.POINT}",
                )
            self.values[position] = self._convert(text, sign or DecimalSign.POINT, line)

    def _convert(self, text: str, sign: DecimalSign, line: int) -> float:
        plain = text
        if _GROUPED[sign].fullmatch(text):
            plain = text.translate({ord(each): None for each in (*_SPACES, "," if sign is DecimalSign.POINT else ".")})
        elif sign is DecimalSign.COMMA and not _PLAIN_COMMA.fullmatch(text):
            raise Unreadable(line, f"{self.name}: {quoted(text)} is not a number such as 12 or 9,99")
        try:
            return parse_float(plain.replace(",", ".") if sign is DecimalSign.COMMA else plain)
        except NotNumber as wrong:
            raise Unreadable(line, f"{self.name}: {wrong}") from wrong


def decimal_sign(columns: "list[NumberColumn]") -> DecimalSign | None:
    """The decimal sign that the cells of all columns show; None if none does. Raise `Unreadable` if both occur."""
    seen = {sign: found for column in reversed(columns) for sign, found in column.seen.items()}
    if len(seen) == 2:
        (line, text), (other, comma) = seen[DecimalSign.POINT], seen[DecimalSign.COMMA]
        raise Unreadable(
            max(line, other),
            f"numbers have a decimal point ({quoted(text)} in line {line}) and a decimal comma ({quoted(comma)} in line"
            f" {other}): write all alike, or say --decimal {DecimalSign.COMMA} or --decimal {DecimalSign.POINT}",
        )
    return next(iter(seen), None)


def _only(text: str, sign: DecimalSign) -> bool:
    """Whether the text is a number with this decimal sign and cannot be one with the other."""
    mark, group = (".", ",") if sign is DecimalSign.POINT else (",", ".")
    if text.count(group) > 1 and text.count(mark) <= 1:
        return bool(_GROUPED[sign].fullmatch(text))
    if text.count(mark) != 1 or _EITHER.fullmatch(text):
        return False
    if group in text:
        return bool(_GROUPED[sign].fullmatch(text))
    return True
