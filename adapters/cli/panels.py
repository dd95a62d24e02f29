"""Reads panels of prices and sales from CSV files."""

import math
from array import array
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import zip_longest
from pathlib import Path
from string import Formatter
from typing import Final

import numpy as np
from attrs import frozen

from adapters.cli.csv_files import BadRow, open_csv
from adapters.cli.failures import CommandFailed
from scalecommerce_core.domain.numbers import parse_float, parse_integer, quoted
from scalecommerce_core.pricing.evaluation.panel import SalesLines

_FARTHEST: Final = 4 * 10**18
"""Largest absolute period number: covers nanoseconds since 1970, and differences fit 64 bits."""


@frozen
class PanelColumns:
    """Names of the columns. `price` may refer to another column: `price{brand}` is `price7` in a row of brand 7."""

    cell: Sequence[str]
    group: Sequence[str]
    period: str
    units: str
    price: str
    log_units: bool


def read_lines(file: Path, columns: PanelColumns) -> tuple[SalesLines, int]:
    """Read the lines, and the number of rows that were left out because they have no sales or no price.

    Raise `CommandFailed`, which names the line, for missing columns and for cells that are not numbers or dates.
    """
    cells: dict[tuple[str, ...], int] = {}
    groups: dict[tuple[str, ...], int] = {}
    cell, group, period = array("q"), array("q"), array("q")
    units, price = array("d"), array("d")
    left_out, number = 0, 1
    try:
        with open_csv(file, {*columns.cell, *columns.group, columns.period, columns.units, columns.price}) as table:
            _check_columns(file, table.header, columns)
            for read in table:
                number = read.line
                if isinstance(read, BadRow):
                    raise CommandFailed(f"{file}, line {number}: {read.message}")
                row = dict(zip_longest(table.header, read.cells[: len(table.header)], fillvalue=""))
                sold = _real(row, columns.units)
                sold = math.exp(sold) if columns.log_units else sold
                paid = _real(row, columns.price.format_map(row))
                if not (sold > 0 and paid > 0 and math.isfinite(sold) and math.isfinite(paid)):
                    left_out += 1
                    continue
                cell.append(cells.setdefault(_key(row, columns.cell), len(cells)))
                group.append(groups.setdefault(_key(row, columns.group), len(groups)))
                period.append(_period(row[columns.period], columns.period))
                units.append(sold)
                price.append(paid)
    except KeyError as missing:
        raise CommandFailed(f"{file}, line {number}: there is no column {missing} for the price.") from missing
    except (ValueError, IndexError, OverflowError) as wrong:
        raise CommandFailed(f"{file}, line {number}: {str(wrong).rstrip('.')}.") from wrong
    if not cell:
        raise CommandFailed(f"{file} has no row in which something was sold at a price.")
    numbered = [np.frombuffer(column, dtype=np.int64) for column in (cell, group, period)]
    lines = SalesLines(
        cell=numbered[0], group=numbered[1], period=numbered[2], units=np.frombuffer(units), price=np.frombuffer(price)
    )
    return lines, left_out


def _check_columns(file: Path, header: Sequence[str], columns: PanelColumns) -> None:
    """Raise `CommandFailed` naming missing columns and the columns that the file has."""
    if not header:
        return
    try:
        named = [name for _, name, _, _ in Formatter().parse(columns.price) if name is not None]
    except ValueError as wrong:
        raise CommandFailed(f"--price {columns.price}: {{ and }} must enclose the name of a column.") from wrong
    wanted = [
        *(("--cell", name) for name in columns.cell), *(("--group", name) for name in columns.group),
        ("--period", columns.period), ("--units", columns.units),
        *(("--price", name) for name in named or [columns.price]),
    ]  # fmt: skip
    missing = {option: name for option, name in wanted if name not in header}
    if missing:
        said = " and ".join(f"no column {name!r} (name yours with {option})" for option, name in missing.items())
        raise CommandFailed(f"{file} has {said}. Its columns are {', '.join(header)}.")


def _real(row: Mapping[str, str], column: str) -> float:
    try:
        return parse_float(row[column].strip())
    except ValueError as wrong:
        raise ValueError(f"{column}: {wrong}") from wrong


def _key(row: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[name] for name in names)


def _period(text: str, column: str) -> int:
    """Parse a whole number, or a date (also followed by a time) as the number of its day."""
    period = text.strip()
    try:
        number = date.fromisoformat(period[:10]).toordinal() if "-" in period[1:] else parse_integer(period)
    except ValueError as wrong:
        raise ValueError(
            f"{column}: {quoted(period)} is neither a whole number nor a date or time such as 2026-01-31"
        ) from wrong
    if abs(number) > _FARTHEST:
        raise ValueError(f"{column}: {number} is beyond the periods that can be counted")
    return number
