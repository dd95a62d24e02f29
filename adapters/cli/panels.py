"""Reading price and sales panels from CSV files, by a mapping of columns."""

import math
from array import array
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import zip_longest
from pathlib import Path

import numpy as np
from attrs import frozen

from adapters.cli.csv_files import BadRow, open_csv
from adapters.cli.failures import CommandFailed
from scalecommerce_core.domain.numbers import parse_real, parse_whole
from scalecommerce_core.pricing.evaluation.panel import Lines


@frozen
class Columns:
    """Which columns hold what. `price` may name a column by the row's own values: `price{brand}`."""

    cell: Sequence[str]
    group: Sequence[str]
    period: str
    units: str
    price: str
    log_units: bool


def read_lines(file: Path, columns: Columns) -> tuple[Lines, int]:
    """The panel, and how many rows were left out because nothing was sold or paid in them.

    Raise `CommandFailed` naming the row for a column that is missing and for what is no number or date.
    """
    cells: dict[tuple[str, ...], int] = {}
    groups: dict[tuple[str, ...], int] = {}
    cell, group, period = array("q"), array("q"), array("q")
    units, price = array("d"), array("d")
    left_out, number = 0, 1
    try:
        with open_csv(file, {*columns.cell, *columns.group, columns.period, columns.units, columns.price}) as table:
            for read in table:
                number = read.line
                if isinstance(read, BadRow):
                    raise CommandFailed(f"{file}, line {number}: {read.message}")
                row = dict(zip_longest(table.header, read.cells[: len(table.header)], fillvalue=""))
                sold = parse_real(row[columns.units].strip())
                sold = math.exp(sold) if columns.log_units else sold
                paid = parse_real(row[columns.price.format_map(row)].strip())
                if not (sold > 0 and paid > 0 and math.isfinite(sold) and math.isfinite(paid)):
                    left_out += 1
                    continue
                cell.append(cells.setdefault(_key(row, columns.cell), len(cells)))
                group.append(groups.setdefault(_key(row, columns.group), len(groups)))
                period.append(_period(row[columns.period]))
                units.append(sold)
                price.append(paid)
    except KeyError as missing:
        raise CommandFailed(f"{file} has no column {missing}; the options name the columns.") from missing
    except (ValueError, IndexError, OverflowError) as wrong:
        raise CommandFailed(f"{file}, line {number}: {str(wrong).rstrip('.')}.") from wrong
    if not cell:
        raise CommandFailed(f"{file} has no row in which something was sold at a price.")
    numbered = [np.frombuffer(column, dtype=np.int64) for column in (cell, group, period)]
    lines = Lines(
        cell=numbered[0], group=numbered[1], period=numbered[2], units=np.frombuffer(units), price=np.frombuffer(price)
    )
    return lines, left_out


def _key(row: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[name] for name in names)


def _period(text: str) -> int:
    """A whole number as it is; a date, or a time that begins with one, as the number of its day."""
    return date.fromisoformat(text[:10]).toordinal() if "-" in text[1:] else parse_whole(text.strip())
