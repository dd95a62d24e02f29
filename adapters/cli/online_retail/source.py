"""Opening the file, plain or compressed, and saying clearly what is wrong with it."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

COLUMNS: Final = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip
_GZIP_MAGIC: Final = b"\x1f\x8b"


class BadFile(Exception):
    """The file cannot be read as what it should be; the message says why, and where."""


@contextmanager
def rows_of(path: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """(line number, fields) of every line behind the header; raise `BadFile`.

    Whether it is compressed is told by its first bytes, whatever its name.
    """
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            content = gzip.GzipFile(fileobj=raw) if compressed else raw
            with io.TextIOWrapper(content, "utf-8-sig", newline="") as text:
                yield read_rows(text, str(path))
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error


def read_rows(text: IO[str], name: str) -> Iterator[tuple[int, list[str]]]:
    """As `rows_of`, of an open file."""
    # strict: a quote that is never closed must not swallow the rest of the file as one field.
    reader = csv.reader(text, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise BadFile(f"{name} is empty.")
        if tuple(field.strip() for field in header) != COLUMNS:
            raise BadFile(f"{name} is no Online Retail file: its first line is not {','.join(COLUMNS)}.")
        for row in reader:
            yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise BadFile(f"{name} is not UTF-8 text (near line {reader.line_num + 1}): {error.reason}.") from error
    except csv.Error as error:
        raise BadFile(f"{name} is not CSV (line {reader.line_num}): {error}.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadFile(f"{name} is damaged or cut short (after line {reader.line_num}): {error}.") from error
