"""Keyset pages over rows in memory."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from scalecommerce_core.queries import Key, Page, PageRequest

T = TypeVar("T")


def paged(rows: Iterable[T], key_of: Callable[[T], Key], page: PageRequest) -> Page[T]:
    """A keyset page of rows in ascending order of their keys."""
    keyed = sorted(((key_of(row), row) for row in rows), key=lambda pair: comparable(pair[0]))
    if page.before is not None:
        earlier = [pair for pair in keyed if comparable(pair[0]) < comparable(page.before)]
        shown = earlier[-page.size :]
        more_before, more_after = len(earlier) > len(shown), True
    else:
        start = page.after
        rest = keyed if start is None else [pair for pair in keyed if comparable(pair[0]) > comparable(start)]
        shown = rest[: page.size]
        more_before, more_after = start is not None, len(rest) > len(shown)
    return Page(
        rows=tuple(row for _, row in shown),
        next=shown[-1][0] if shown and more_after else None,
        previous=shown[0][0] if shown and more_before else None,
    )


def comparable(key: Key) -> tuple[tuple[int, str | int | float], ...]:
    return tuple((0, 0) if part is None else (1, part) for part in key)
