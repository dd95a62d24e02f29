"""Pages of lists by keyset pagination."""

from typing import Generic, TypeVar

from attrs import frozen

Row_co = TypeVar("Row_co", covariant=True)

Key = tuple[str | int | float | None, ...]
"""The sort values of a row as JSON scalars, its id last. A page begins after or before the row of a key."""


@frozen
class PageRequest:
    """`size` rows after the key `after`, or before the key `before`; with neither, the first rows of the list."""

    size: int = 20
    after: Key | None = None
    before: Key | None = None


@frozen
class Page(Generic[Row_co]):
    """Rows in the order of the list, with the keys of the neighbouring pages; a key is None at an end of the list."""

    rows: tuple[Row_co, ...]
    next: Key | None = None
    previous: Key | None = None
