"""Parquet files: reads them as rows of text, so that their cells are checked like those of a CSV file, and writes them.
Needs the extra `parquet`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final, Self

import pyarrow as pa
from pyarrow import parquet

from scalecommerce_core.services.product_files.csv_text import Row, UnreadableFile

_BATCH: Final = 10_000
"""Rows that are decoded at once."""


class ParquetFile:
    """Like `CsvFile`: column names, and the rows with their numbers, from 1."""

    def __init__(self, content: Any, name: str) -> None:
        self._content = content
        self._name = name
        self.header: list[str] = list(content.schema_arrow.names)

    def __iter__(self) -> Iterator[Row]:
        number = 0
        try:
            for batch in self._content.iter_batches(_BATCH):
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield Row(number, [_text(value) for value in values])
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile(f"{self._name} is damaged after row {number}: {_one_line(error)}.") from error


_TYPES: Final = {
    "integer": pa.int64(),
    "text": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    # Enough for the largest amount and for the currencies with four decimals.
    "decimal": pa.decimal128(38, 4),
}


class ParquetWriter:
    """Writes rows in constant memory. `columns` are names with their types: integer, text, time or decimal."""

    def __init__(self, file: IO[bytes], columns: Mapping[str, str]) -> None:
        self._schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Mapping[str, Any]] = []

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        # A file without rows has the schema too.
        if failure is None:
            self._flush()
        self._writer.close()


@contextmanager
def open_parquet(path: Path) -> Iterator[ParquetFile]:
    """Open the Parquet file at `path`; raise `UnreadableFile`."""
    try:
        content = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{path} is not a readable Parquet file: {_one_line(error)}.") from error
    with content:
        yield ParquetFile(content, str(path))


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime() | date() | time():
            return value.isoformat()
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case Decimal():
            return f"{value:f}"
        case bytes():
            return value.decode("utf-8", "replace")
        case _:
            return str(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
