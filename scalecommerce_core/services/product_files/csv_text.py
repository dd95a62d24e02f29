"""Tolerant reader of CSV text. Everything that reads CSV files reads them through this module.

The text may begin with a byte order mark or with Excel's `sep=;`, and separate its cells by comma, semicolon, tab or
bar, which is detected from the column names. Quoting follows RFC 4180. Rows without text are left out.

A malformed row becomes a `BadRow`, and reading continues with the next row. A quote that is never closed would extend
to the end of the file: its row is a `BadRow`, and the next line is read as a row again.
"""

import gzip
import re
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import IO, Final, NamedTuple

CELL_LIMIT: Final = 131_072
"""Characters of one cell, as in Python's csv module."""
LINE_LIMIT: Final = 1_048_576
"""Characters of one line, and of the text that is searched for the end of a quoted cell."""
SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

_SURROGATE: Final = re.compile("[\udc80-\udcff]")
"""A byte that is not UTF-8, as decoded by `surrogateescape` (PEP 383)."""
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


class UnreadableFile(Exception):
    """The file, or the rest of it, cannot be read; the message names the file and the reason."""


class Row(NamedTuple):
    """A row. `line` is the number of its first line, from 1."""

    line: int
    cells: list[str]


class BadRow(NamedTuple):
    """A malformed row; `line` is the number of its first line."""

    line: int
    message: str


class _Line(NamedTuple):
    number: int
    text: str
    is_whole: bool


class CsvFile:
    """A CSV file. `header` holds the column names, without surrounding spaces; the rows can be iterated once.

    `known` are the expected column names, from which the separator is detected. `done` returns the share of the file
    that was read, for progress. `or_else` ends the message about bytes that are not UTF-8: what else to do than to save
    the file again. Raise `UnreadableFile`, also while iterating.
    """

    def __init__(
        self,
        text: IO[str],
        name: str,
        known: Collection[str] = (),
        *,
        done: Callable[[], float | None] = lambda: None,
        or_else: str = "",
    ) -> None:
        self.name = name
        self._or_else = or_else
        self.done = done
        self._text = text
        self._pushed_back: deque[_Line] = deque()
        self._lines_read = 0
        self._separator = ","
        self.header: Sequence[str] = self._header({each.casefold() for each in known})

    @property
    def separator(self) -> str:
        return SEPARATORS.get(self._separator, repr(self._separator))

    def __iter__(self) -> Iterator[Row | BadRow]:
        while (line := self._next()) is not None:
            row = self._parse_row(line, len(self.header))
            if isinstance(row, BadRow) or any(cell and not cell.isspace() for cell in row.cells):
                yield row

    # --- lines

    def _next(self) -> _Line | None:
        if self._pushed_back:
            return self._pushed_back.popleft()
        text = self._read_part()
        if not text:
            return None
        self._lines_read += 1
        is_whole = len(text) < LINE_LIMIT or text[-1] in "\r\n"
        part = text
        while len(part) == LINE_LIMIT and part[-1] not in "\r\n":
            part = self._read_part()
        return _Line(self._lines_read, text, is_whole)

    def _read_part(self) -> str:
        try:
            return self._text.readline(LINE_LIMIT)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UnreadableFile(
                f"{self.name} is damaged or cut short after line {self._lines_read}: {str(error).rstrip('.')}."
            ) from error
        except UnicodeDecodeError as error:
            raise UnreadableFile(f"{self.name} is not UTF-8 text (near line {self._lines_read + 1}).") from error
        except OSError as error:
            raise UnreadableFile(
                f"{self.name} cannot be read after line {self._lines_read}: {error.strerror or error}."
            ) from error

    # --- rows

    def _header(self, known: Collection[str]) -> list[str]:
        line = self._first_line()
        if line is not None and (match := _SEPARATOR_LINE.fullmatch(line.text)):
            self._separator = match[1]
            line = self._first_line()
        elif line is not None:
            self._separator = _separator_of(line.text, known)
        if line is None:
            return []
        row = self._parse_row(line, None)
        if isinstance(row, BadRow):
            raise UnreadableFile(f"{self.name}, line {row.line} with the column names: {row.message}")
        return [name.strip() for name in row.cells]

    def _first_line(self) -> _Line | None:
        """The first line that is not blank, without byte order marks."""
        while (line := self._next()) is not None:
            text = line.text.lstrip("\ufeff")
            if text and not text.isspace():
                return line._replace(text=text)
        return None

    def _parse_row(self, line: _Line, width: int | None) -> Row | BadRow:
        """Parse the row that begins in this line; a row of several lines must have `width` cells."""
        if not line.is_whole:
            return BadRow(line.number, f"The line has more than {LINE_LIMIT:,} characters.")
        text = line.text
        if '"' in text:
            row = self._parse_quoted_row(line, width)
            if isinstance(row, BadRow):
                return row
            cells, text = row
        else:
            cells = text.rstrip("\r\n").split(self._separator)
        if not text.isascii() and (wrong := _SURROGATE.search(text)):
            return BadRow(
                line.number,
                f"The byte {ord(wrong[0]) - 0xDC00:#04x} is not UTF-8 text: save the file as UTF-8{self._or_else}.",
            )
        if len(text) > CELL_LIMIT:
            for number, cell in enumerate(cells, 1):
                if len(cell) > CELL_LIMIT:
                    return BadRow(
                        line.number, f"Cell {number} has {len(cell):,} characters; at most {CELL_LIMIT:,} are read."
                    )
        return Row(line.number, cells)

    def _parse_quoted_row(self, line: _Line, width: int | None) -> tuple[list[str], str] | BadRow:
        """Return the cells and their text; a quoted cell may contain line breaks."""
        text, separator = line.text, self._separator
        taken: list[_Line] = []
        cells: list[str] = []
        begin, opened = 0, 0
        while True:
            if not text.startswith('"', begin):
                end = text.find(separator, begin)
                cells.append(text[begin:end] if end >= 0 else text[begin:].rstrip("\r\n"))
            else:
                opened = len(taken)
                end = text.find('"', begin + 1)
                while end < 0 or text.startswith('""', end):
                    if end >= 0:
                        end = text.find('"', end + 2)
                        continue
                    following = self._next() if len(text) < LINE_LIMIT else None
                    if following is None or not following.is_whole:
                        unread = taken if following is None else [*taken, following]
                        return self._stray_quote(line, unread, opened, "is never closed")
                    taken.append(following)
                    end = len(text)
                    text += following.text
                    end = text.find('"', end)
                cells.append(text[begin + 1 : end].replace('""', '"'))
                end += 1
                if not text.startswith(separator, end):
                    if text[end:].rstrip("\r\n"):
                        return self._stray_quote(line, taken, opened, "is closed in the middle of a cell")
                    end = -1
            if end < 0:
                break
            begin = end + len(separator)
        if taken and width is not None and len(cells) != width:
            said = f"is closed in line {taken[-1].number}, which makes {len(cells)} cells instead of {width}"
            return self._stray_quote(line, taken, opened, said)
        return cells, text

    def _stray_quote(self, line: _Line, taken: Sequence[_Line], opened: int, said: str) -> BadRow:
        """Report the stray quote and continue after the line in which it opened."""
        self._pushed_back.extendleft(reversed(taken[opened:]))
        where = "here" if not opened else f"in line {taken[opened - 1].number}"
        return BadRow(line.number, f"A quote that opens a cell {where} {said}. Write a quote inside of a cell twice.")


def _separator_of(header: str, known: Collection[str]) -> str:
    """The separator that gives the most known column names, or else the most names."""

    def score(separator: str) -> tuple[int, int]:
        names = [name.strip(' "\r\n').casefold() for name in header.split(separator)]
        return sum(name in known for name in names), len(names)

    return max(SEPARATORS, key=score)
