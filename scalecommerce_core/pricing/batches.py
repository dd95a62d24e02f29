"""Batches of products that fit into a processor's cache: several times faster than a million rows at once."""

from collections.abc import Iterator
from typing import Final

ROWS: Final = 8_192


def slices(size: int, rows: int = ROWS) -> Iterator[slice]:
    """The slices that make up `size` rows."""
    return (slice(begin, min(begin + rows, size)) for begin in range(0, size, rows))
