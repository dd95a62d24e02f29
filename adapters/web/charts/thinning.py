"""Fewer points with the same look: the extremes of each section stay."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def thin(values: Sequence[float | None], most: int) -> list[int]:
    """
    Ascending indices of at most `most` (at least 4) of the `values`, or all of them if they are not more.

    The first and the last value stay, and of each section of equal length its lowest and its highest one. With gaps, a
    section also keeps its first gap.
    """
    count = len(values)
    if count <= most:
        return list(range(count))
    per_section = 3 if None in values else 2
    sections = max((most - 2) // per_section, 1)
    kept = {0, count - 1}
    for section in range(sections):
        begin, end = section * count // sections, (section + 1) * count // sections
        part = values[begin:end]
        present = [value for value in part if value is not None]
        if present:
            kept.add(begin + part.index(min(present)))
            kept.add(begin + part.index(max(present)))
        if len(present) < len(part):
            kept.add(begin + part.index(None))
    return sorted(kept)


def pick(items: Sequence[T], values: Sequence[float | None], most: int) -> Sequence[T]:
    """The `items` whose `values` `thin` keeps."""
    return items if len(items) <= most else [items[index] for index in thin(values, most)]
