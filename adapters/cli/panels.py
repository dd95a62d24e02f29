"""Reads panels of prices and sales from CSV and Parquet files."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from string import Formatter
from typing import Final, Protocol

import numpy as np
from attrs import field, frozen

from adapters.cli.csv_files import TextEncoding, detect_encoding, is_parquet, open_csv
from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.panel_dates import UnreadablePeriod, read_periods
from adapters.cli.panel_numbers import NumberColumn, Unreadable, decimal_sign
from adapters.cli.panel_options import PanelFormat
from scalecommerce_core.pricing.arrays import Floats, Whole
from scalecommerce_core.pricing.evaluation.panel import SalesLines
from scalecommerce_core.services.product_files.csv_text import BadRow, Row, UnreadableFile

ORDERS: Final = "orders"
"""A column with this name is read without being asked for, if the file has it."""


@frozen
class PanelColumns:
    """Names of the columns. `price` may refer to another column: `price{brand}` is `price7` in a row of brand 7."""

    cell: Sequence[str]
    group: Sequence[str]
    period: str
    units: str
    price: str
    log_units: bool
    orders: str | None = None
    """None: `ORDERS`, if the file has such a column."""


@frozen(eq=False)
class PanelFile:
    """What was read from a file. Cells and groups of `lines` are numbered in the order of `cells` and `groups`."""

    lines: SalesLines
    cells: Sequence[str] = field(repr=False)
    """Name of each cell and, below, of each group: its columns, joined by commas."""
    groups: Sequence[str] = field(repr=False)
    left_out: int
    """Rows without sales or without a price."""
    period_days: float | None
    """Days of a period; None if periods are numbers whose unit is unknown."""
    encoding: TextEncoding | None
    """None for a Parquet file."""


class _Table(Protocol):
    @property
    def header(self) -> Sequence[str]: ...

    def __iter__(self) -> Iterator[Row | BadRow]: ...


def read_panel(file: Path, columns: PanelColumns, file_format: PanelFormat) -> PanelFile:
    """Read a panel. Rows in which less than nothing was sold, or without a price, are left out; rows in which nothing
    was sold stay, for models that can use them, but count as left out.

    Raise `CommandFailed`, which names the line and what to do, for anything that cannot be read.
    """
    known = {*columns.cell, *columns.group, columns.period, columns.units, columns.price, columns.orders or ORDERS}
    from_parquet = is_parquet(file)
    encoding = None if from_parquet else file_format.encoding or detect_encoding(file)
    opened = _open_parquet(file) if encoding is None else open_csv(file, known, encoding=encoding)
    with opened as table:
        return _Reader(file, columns, file_format, "row" if from_parquet else "line").read(table, encoding)


@contextmanager
def _open_parquet(file: Path) -> Iterator[_Table]:
    try:
        from adapters.cli.parquet_files import open_parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CommandFailed(
            f"{file} is a Parquet file: to read it, run pip install 'scalecommerce[parquet]', or export it as CSV.",
            ExitCode.USAGE,
        ) from error
    with open_parquet(file) as table:
        yield table


class _Reader:
    def __init__(self, file: Path, columns: PanelColumns, file_format: PanelFormat, row_name: str) -> None:
        self._file = file
        self._columns = columns
        self._format = file_format
        self._row_name = row_name

    def read(self, table: _Table, encoding: TextEncoding | None) -> PanelFile:
        columns = self._columns
        header = table.header
        orders_name = self._check_columns(header)
        units, price = NumberColumn(columns.units, self._format.decimal), NumberColumn("price", self._format.decimal)
        orders = None if orders_name is None else NumberColumn(orders_name, self._format.decimal)
        numbers = [units, price, *([orders] if orders else [])]
        cells: dict[tuple[str, ...], int] = {}
        groups: dict[tuple[str, ...], int] = {}
        periods: dict[str, int] = {}
        first_lines: list[int] = []
        cell, group, period, line_of = array("q"), array("q"), array("q"), array("q")
        line = 1
        try:
            for read in table:
                line = read.line
                if isinstance(read, BadRow):
                    raise self._failed(line, read.message)
                row = dict(zip_longest(header, read.cells[: len(header)], fillvalue=""))
                units.add(row[columns.units], line)
                price.name = columns.price.format_map(row)
                price.add(row[price.name], line)
                if orders is not None:
                    orders.add(row[orders.name] or "0", line)
                cell.append(cells.setdefault(_key(row, columns.cell), len(cells)))
                group.append(groups.setdefault(_key(row, columns.group), len(groups)))
                if (text := row[columns.period]) not in periods:
                    first_lines.append(line)
                period.append(periods.setdefault(text, len(periods)))
                line_of.append(line)
            sign = self._format.decimal or decimal_sign(numbers)
            for column in numbers:
                column.settle(sign)
            read_as = read_periods(list(periods), first_lines, self._format.dates)
        except KeyError as missing:
            raise self._failed(line, f"there is no column {missing} for the price") from missing
        except UnreadablePeriod as wrong:
            raise self._failed(wrong.line, f"{columns.period}: {wrong}") from wrong
        except Unreadable as wrong:
            raise self._failed(wrong.line, str(wrong)) from wrong
        except (ValueError, IndexError, AttributeError) as wrong:
            raise self._failed(line, str(wrong)) from wrong
        sold = self._units(units, line_of)
        paid = np.frombuffer(price.values) if len(price.values) else np.zeros(0)
        kept = (sold >= 0) & (paid > 0)
        if not (kept & (sold > 0)).any():
            raise CommandFailed(f"{self._file} has no row in which something was sold at a price.")
        # Cells and groups of which no row is left have no number.
        used_cells, cell_number = np.unique(_whole(cell)[kept], return_inverse=True)
        used_groups, group_number = np.unique(_whole(group)[kept], return_inverse=True)
        cell_names, group_names = list(cells), list(groups)
        return PanelFile(
            lines=SalesLines(
                cell=cell_number, group=group_number, period=read_as.number[_whole(period)[kept]],
                units=sold[kept], price=paid[kept], orders=None if orders is None else np.array(orders.values)[kept],
            ),
            cells=[",".join(cell_names[number]) for number in used_cells],
            groups=[",".join(group_names[number]) for number in used_groups],
            left_out=int((~(kept & (sold > 0))).sum()),
            period_days=read_as.days,
            encoding=encoding,
        )  # fmt: skip

    def _units(self, units: NumberColumn, line_of: Sequence[int]) -> Floats:
        values: Floats = np.array(units.values, dtype=np.float64)
        if not self._columns.log_units:
            return values
        with np.errstate(over="ignore"):
            sold: Floats = np.exp(values)
        if (beyond := np.flatnonzero(~np.isfinite(sold))).size:
            raise self._failed(
                line_of[int(beyond[0])],
                f"{units.name}: {values[beyond[0]]:g} is too large for the logarithm of a number of units; leave out"
                " --log-units if the column has units",
            )
        return sold

    def _failed(self, line: int, message: str) -> CommandFailed:
        return CommandFailed(f"{self._file}, {self._row_name} {line}: {message.rstrip('.')}.")

    def _check_columns(self, header: Sequence[str]) -> str | None:
        """Return the name of the column of orders, if there is one.

        Raise `CommandFailed` naming missing columns and the columns that the file has.
        """
        columns = self._columns
        has_orders = ORDERS in header and ORDERS not in {columns.units, columns.price, columns.period}
        orders = columns.orders or (ORDERS if has_orders else None)
        if not header:
            return None
        try:
            named = [name for _, name, _, _ in Formatter().parse(columns.price) if name is not None]
        except ValueError as wrong:
            raise CommandFailed(f"--price {columns.price}: {{ and }} must enclose the name of a column.") from wrong
        wanted = [
            *(("--cell", name) for name in columns.cell), *(("--group", name) for name in columns.group),
            ("--period", columns.period), ("--units", columns.units),
            *(("--price", name) for name in named or [columns.price]),
            *([("--orders", orders)] if orders else []),
        ]  # fmt: skip
        missing = {option: name for option, name in wanted if name not in header}
        if missing:
            said = " and ".join(f"no column {name!r} (name yours with {option})" for option, name in missing.items())
            raise CommandFailed(f"{self._file} has {said}. Its columns are {', '.join(header)}.")
        repeated = sorted({name for _, name in wanted if header.count(name) > 1})
        if repeated:
            raise UnreadableFile(f"{self._file} has several columns {repeated[0]!r}: rename or remove all but one.")
        return orders


def _whole(column: "array[int]") -> Whole:
    return np.array(column, dtype=np.int64)


def _key(row: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[name] for name in names)
