"""Columns of numbers in and out of PostgreSQL in its binary formats, without a Python object per row or value.

They come out as one array per column: COPY would hand over row by row, which takes longer than reading them. They go
in by COPY, whose rows are the number of fields, then each field's length and bytes: with fixed lengths, a record of
numpy's.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

COPY_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_ARRAY_HEADER_BYTES: Final = 20
"""Bytes: dimensions, flags and type, then the size and the lower bound of the only dimension."""
_ELEMENT: Final = np.dtype([("length", ">i4"), ("value", ">i8")])
POSTGRES_EPOCH: Final = 946_684_800_000_000
"""Microseconds from 1970 to 2000, from where PostgreSQL counts."""


def binary_arrays_statement(columns: Sequence[str], rows: str) -> str:
    """A statement that answers with one row: what `from_array` reads, for each of these columns of `rows`, in order."""
    arrays = ", ".join(f"array_send(array_agg({name}))" for name in columns)
    return f"SELECT {arrays} FROM ({rows}) AS found({', '.join(columns)})"  # noqa: S608 - no values in it


def decode_int64_array(data: bytes | None) -> NDArray[np.int64]:
    """An array of 8-byte values, none of them NULL; None has none, as PostgreSQL has it."""
    if data is None:
        return np.empty(0, dtype=np.int64)
    return np.frombuffer(data, dtype=_ELEMENT, offset=_ARRAY_HEADER_BYTES)["value"].astype(np.int64)


def encode_copy_rows(columns: Sequence[NDArray[Any]]) -> bytes:
    """Rows of numbers (int16, int32, int64, float64 as they come) and of bytes (void, all of one length)."""
    fields: list[Any] = [("count", ">i2")]
    for number, values in enumerate(columns):
        kind = values.dtype.str if values.dtype.kind == "V" else values.dtype.newbyteorder(">").str
        fields += [(f"length{number}", ">i4"), (f"value{number}", kind)]
    table = np.empty(len(columns[0]), dtype=fields)
    table["count"] = len(columns)
    for number, values in enumerate(columns):
        table[f"length{number}"] = values.dtype.itemsize
        table[f"value{number}"] = values
    return COPY_SIGNATURE + table.tobytes() + _TRAILER
