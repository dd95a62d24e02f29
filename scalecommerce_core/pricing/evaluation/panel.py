"""Panel data: units sold and price for each cell (a product, or a product in a shop) and period."""

from typing import Self

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole


@frozen(eq=False)
class SalesLines:
    """Recorded sales, one row each; several rows may have the same cell and period, as order lines have."""

    cell: Whole
    """Number of the cell: whatever has its own price, a product, or a product in a shop."""
    group: Whole
    """Number of the category."""
    period: Whole
    """Number of the day or week; any integers that increase with time, for example seconds since 1970."""
    units: Floats
    price: Floats

    def __len__(self) -> int:
        return len(self.cell)

    def days(self) -> Whole:
        """Periods relative to the first one."""
        first = int(self.period.min()) if len(self) else 0
        return self.period - first


@frozen(eq=False)
class Panel:
    """One row per cell and period: total units, and mean price paid.

    Cells and groups are renumbered without gaps, in order of their original numbers, so arrays with an element for each
    are never longer than the lines. Periods keep their distances, so arrays must not be as long as their span.
    """

    cell: Whole
    period: Whole
    """Relative to the first period."""
    units: Floats
    price: Floats
    group: Whole
    """Group of each cell (not of each row)."""

    @classmethod
    def of(cls, lines: SalesLines, *, periods_in_one: int = 1) -> Self:
        """Aggregate lines; rows without sales or without a price are left out, because the model uses logarithms."""
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
    """Distinct pairs of two columns, sorted: the first row of each pair, and the number of the pair of each row."""
    _, rank = np.unique(second, return_inverse=True)
    # Ranks are less than the number of rows, so a product of two ranks fits into 63 bits up to three billion rows.
    _, of_first = np.unique(first, return_inverse=True)
    _, rows, inverse = np.unique(
        of_first * (int(rank.max(initial=0)) + 1) + rank, return_index=True, return_inverse=True
    )
    return rows, inverse
