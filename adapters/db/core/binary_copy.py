"""Columns of numbers in PostgreSQL's binary formats, read and written without a Python object for each value.

Columns are read as one array each, because COPY would return them row by row. They are written with COPY. Its rows
consist of the number of fields and then, for each field, length and value; rows of constant lengths are a numpy record
array. Formats: documentation of PostgreSQL, COPY, "Binary Format", and `array_send` in `arrayfuncs.c`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

COPY_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_ARRAY_HEADER_BYTES: Final = 20
"""Bytes before the elements: dimensions, flags, element type; size and lower bound of the only dimension."""
_ELEMENT: Final = np.dtype([("length", ">i4"), ("value", ">i8")])
POSTGRES_EPOCH: Final = 946_684_800_000_000
"""PostgreSQL's epoch, 2000-01-01 UTC, in microseconds since 1970."""


def binary_arrays_statement(columns: Sequence[str], rows: str, *, only: Mapping[str, str] | None = None) -> str:
    """A SELECT of one row that holds, for each column of the query `rows`, an array for `decode_int64_array`.

    `only` has conditions by column: its array holds the values of those rows that meet it.
    """
    filters = {name: f" FILTER (WHERE {condition})" for name, condition in (only or {}).items()}
    arrays = ", ".join(f"array_send(array_agg({name}){filters.get(name, '')})" for name in columns)
    return f"SELECT {arrays} FROM ({rows}) AS found({', '.join(columns)})"  # noqa: S608 - no values in it


def decode_int64_array(data: bytes | None) -> NDArray[np.int64]:
    """The elements of an array of 8-byte integers without NULL; none for None, the aggregate of no rows."""
    if data is None:
        return np.empty(0, dtype=np.int64)
    return np.frombuffer(data, dtype=_ELEMENT, offset=_ARRAY_HEADER_BYTES)["value"].astype(np.int64)


def encode_copy_rows(columns: Sequence[NDArray[Any]]) -> bytes:
    """COPY data of these columns: numbers (int16, int32, int64, float64), or bytes of one length (dtype void)."""
    fields: list[Any] = [("count", ">i2")]
    for number, values in enumerate(columns):
        kind = values.dtype.str if values.dtype.kind == "V" else values.dtype.newbyteorder(">").str
        fields += [(f"length{number}", ">i4"), (f"value{number}", kind)]
    row = np.zeros(1, dtype=fields)
    row["count"] = len(columns)
    for number, values in enumerate(columns):
        row[f"length{number}"] = values.dtype.itemsize
    # Rows are repeated as a whole: to assign a constant to each of them takes as long as to assign a column.
    data = bytearray(row.tobytes()) * len(columns[0])
    table = np.frombuffer(data, dtype=fields)
    for number, values in enumerate(columns):
        table[f"value{number}"] = values
    return b"".join((COPY_SIGNATURE, data, _TRAILER))
