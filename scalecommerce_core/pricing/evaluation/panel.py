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
    orders: Floats | None = None
    """Number of orders that a line sums up; None if unknown."""

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
    orders: Floats | None = None

    @classmethod
    def of(cls, lines: SalesLines, *, periods_in_one: int = 1, unsold: bool = False) -> Self:
        """Aggregate lines. Rows without sales are left out, because regressions use logarithms; with `unsold`, those
        with a price stay.
        """
        _, cell_of_line = np.unique(lines.cell, return_inverse=True)
        _, group_of_line = np.unique(lines.group, return_inverse=True)
        bucket = lines.days() // periods_in_one
        keys, where = distinct_pairs(cell_of_line, bucket)
        units = np.bincount(where, weights=lines.units, minlength=len(keys)).astype(np.float64)
        revenue = np.bincount(where, weights=lines.units * lines.price, minlength=len(keys)).astype(np.float64)
        kept = (units > 0) & (revenue > 0)
        price = revenue / np.where(units > 0, units, 1.0)
        if unsold:
            count = np.bincount(where, minlength=len(keys))
            price = np.where(units > 0, price, np.bincount(where, weights=lines.price, minlength=len(keys)) / count)
            kept = (units >= 0) & (price > 0)
        orders = None
        if lines.orders is not None:
            orders = np.bincount(where, weights=lines.orders, minlength=len(keys)).astype(np.float64)[kept]
        group = np.zeros(int(cell_of_line.max(initial=-1)) + 1, dtype=np.int64)
        group[cell_of_line] = group_of_line
        cell, period = cell_of_line[keys], bucket[keys]
        return cls(cell[kept], period[kept], units[kept], price[kept], group, orders)

    def __len__(self) -> int:
        return len(self.cell)

    @property
    def cells(self) -> int:
        return len(self.group)

    def rows(self, chosen: Flags) -> "Panel":
        orders = None if self.orders is None else self.orders[chosen]
        return Panel(self.cell[chosen], self.period[chosen], self.units[chosen], self.price[chosen], self.group, orders)


def inner_rows(panel: Panel) -> Whole:
    """Rows whose previous and next row are of the same cell; the rows of a panel are sorted by cell and period."""
    cell = panel.cell
    return np.flatnonzero((cell[1:-1] == cell[:-2]) & (cell[1:-1] == cell[2:])) + 1


def distinct_pairs(first: Whole, second: Whole) -> tuple[Whole, Whole]:
    """Distinct pairs of two columns, sorted: the first row of each pair, and the number of the pair of each row."""
    _, rank = np.unique(second, return_inverse=True)
    # Ranks are less than the number of rows, so a product of two ranks fits into 63 bits up to three billion rows.
    _, of_first = np.unique(first, return_inverse=True)
    _, rows, inverse = np.unique(
        of_first * (int(rank.max(initial=0)) + 1) + rank, return_index=True, return_inverse=True
    )
    return rows, inverse
