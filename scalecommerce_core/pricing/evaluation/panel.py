"""A panel: who sold how much of what at which price, cell by cell and period by period."""

from typing import Self

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole


@frozen(eq=False)
class SalesLines:
    """Sales as they were recorded, a row each; several rows may concern one cell and period, as order lines do."""

    cell: Whole
    """What has a price of its own, by number: a product, or a product in a shop."""
    group: Whole
    """Its category: cells of one group learn from each other."""
    period: Whole
    """Numbers of days or weeks, in order of time; they may be far apart, as seconds since 1970 are."""
    units: Floats
    price: Floats

    def __len__(self) -> int:
        return len(self.cell)

    def days(self) -> Whole:
        """Periods counted from the first one."""
        first = int(self.period.min()) if len(self) else 0
        return self.period - first


@frozen(eq=False)
class Panel:
    """One row per cell and period: units summed, price the mean that was paid.

    Cells and groups are renumbered without gaps, in order of their numbers in the lines, so that an array with a value
    for each is never longer than the lines. Periods keep their distances, so no array may be as long as their span.
    """

    cell: Whole
    period: Whole
    """Counted from the first one."""
    units: Floats
    price: Floats
    group: Whole
    """Of each cell, not of each row."""

    @classmethod
    def of(cls, lines: SalesLines, *, periods_in_one: int = 1) -> Self:
        """Lines summed; rows that sold nothing, or have no price, are left out (a logarithm needs a sale)."""
        _, cell_of_line = np.unique(lines.cell, return_inverse=True)
        _, group_of_line = np.unique(lines.group, return_inverse=True)
        bucket = lines.days() // periods_in_one
        keys, where = distinct_pairs(cell_of_line, bucket)
        units = np.bincount(where, weights=lines.units, minlength=len(keys)).astype(np.float64)
        revenue = np.bincount(where, weights=lines.units * lines.price, minlength=len(keys)).astype(np.float64)
        kept = (units > 0) & (revenue > 0)
        group = np.zeros(int(cell_of_line.max(initial=-1)) + 1, dtype=np.int64)
        group[cell_of_line] = group_of_line
        cell, period = cell_of_line[keys], bucket[keys]
        return cls(cell[kept], period[kept], units[kept], revenue[kept] / units[kept], group)

    def __len__(self) -> int:
        return len(self.cell)

    @property
    def cells(self) -> int:
        return len(self.group)

    def rows(self, chosen: Flags) -> "Panel":
        return Panel(self.cell[chosen], self.period[chosen], self.units[chosen], self.price[chosen], self.group)


def distinct_pairs(first: Whole, second: Whole) -> tuple[Whole, Whole]:
    """The distinct pairs of two columns, sorted: the first row of each pair, and the pair's number for each row."""
    _, rank = np.unique(second, return_inverse=True)
    # Ranks are below the number of rows, so their product with a rank fits 63 bits for three billion rows.
    _, of_first = np.unique(first, return_inverse=True)
    _, rows, inverse = np.unique(
        of_first * (int(rank.max(initial=0)) + 1) + rank, return_index=True, return_inverse=True
    )
    return rows, inverse
