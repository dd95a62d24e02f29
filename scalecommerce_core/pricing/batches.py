"""Batches of rows that fit into the processor cache; several times faster than a million rows at once."""

from collections.abc import Iterator
from typing import Final

ROWS: Final = 8_192


def slices(size: int, rows: int = ROWS) -> Iterator[slice]:
    """Yield consecutive slices of up to `rows` rows that cover `size` rows."""
    return (slice(begin, min(begin + rows, size)) for begin in range(0, size, rows))
