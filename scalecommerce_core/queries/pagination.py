"""Keyset pages."""

from typing import Generic, TypeVar

from attrs import frozen

Row_co = TypeVar("Row_co", covariant=True)

Key = tuple[str | int | float | None, ...]
"""The sort values of a row, JSON-able, its id last: where a keyset page begins."""


@frozen
class PageRequest:
    """`size` rows after the row at `after`, or before the row at `before`; from the start with neither."""

    size: int = 20
    after: Key | None = None
    before: Key | None = None


@frozen
class Page(Generic[Row_co]):
    """Rows in order; `next` and `previous` are None at the ends."""

    rows: tuple[Row_co, ...]
    next: Key | None = None
    previous: Key | None = None
