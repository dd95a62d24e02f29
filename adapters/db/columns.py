"""Columns of numbers in and out of PostgreSQL by COPY's binary format, without a Python object per value.

A row is the number of its fields, then each field's length and bytes: with fixed lengths, a record that numpy reads.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
EPOCH: Final = 946_684_800_000_000
"""Microseconds from 1970 to 2000, from where PostgreSQL counts."""


def from_binary(copied: bytes, columns: int) -> list[NDArray[np.int64]]:
    """Columns of 8-byte values, none of them NULL."""
    fields: list[Any] = [("count", ">i2")]
    for number in range(columns):
        fields += [(f"length{number}", ">i4"), (f"value{number}", ">i8")]
    table = np.frombuffer(copied[len(SIGNATURE) : -len(_TRAILER)], dtype=fields)
    return [table[f"value{number}"].astype(np.int64) for number in range(columns)]


def to_binary(columns: Sequence[NDArray[Any]]) -> bytes:
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
    return SIGNATURE + table.tobytes() + _TRAILER
