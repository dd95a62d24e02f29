"""Reading price and sales panels from CSV files, by a mapping of columns."""

import csv
import gzip
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TextIO

import numpy as np
from attrs import frozen

from adapters.cli.failures import CommandFailed
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


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    with file.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    if compressed:
        with gzip.open(file, "rt", encoding="utf-8-sig", newline="") as text:
            yield text
    else:
        with file.open(encoding="utf-8-sig", newline="") as text:
            yield text


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
        with _opened(file) as text:
            for row in csv.DictReader(text, restval=""):
                number += 1
                sold = float(row[columns.units])
                sold = math.exp(sold) if columns.log_units else sold
                paid = float(row[columns.price.format_map(row)])
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
    except (ValueError, IndexError, OverflowError, EOFError, csv.Error, gzip.BadGzipFile) as wrong:
        raise CommandFailed(f"{file}, line {number}: {wrong}.") from wrong
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
    return date.fromisoformat(text[:10]).toordinal() if "-" in text[1:] else int(text)
