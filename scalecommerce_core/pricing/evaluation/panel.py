"""A panel: who sold how much of what at which price, cell by cell and period by period."""

from typing import Self

import numpy as np
from attrs import frozen

from scalecommerce_core.pricing.arrays import Flags, Floats, Whole


@frozen(eq=False)
class Lines:
    """Sales as they were recorded, a row each; several rows may concern one cell and period, as order lines do."""

    cell: Whole
    """What has a price of its own, counted from 0: a product, or a product in a shop."""
    group: Whole
    """Its category: cells of one group learn from each other."""
    period: Whole
    """Numbers of days or weeks, in order of time."""
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
    """One row per cell and period: units summed, price the mean that was paid."""

    cell: Whole
    period: Whole
    units: Floats
    price: Floats
    group: Whole
    """Of each cell, not of each row."""

    @classmethod
    def of(cls, lines: Lines, *, periods_in_one: int = 1) -> Self:
        """Lines summed; rows that sold nothing, or have no price, are left out (a logarithm needs a sale)."""
        bucket = lines.days() // periods_in_one
        width = int(bucket.max(initial=0)) + 1
        keys, where = np.unique(lines.cell * width + bucket, return_inverse=True)
        units = np.bincount(where, weights=lines.units, minlength=len(keys)).astype(np.float64)
        revenue = np.bincount(where, weights=lines.units * lines.price, minlength=len(keys)).astype(np.float64)
        kept = (units > 0) & (revenue > 0)
        group = np.zeros(int(lines.cell.max(initial=-1)) + 1, dtype=np.int64)
        group[lines.cell] = lines.group
        cell, period = keys // width, keys % width
        return cls(cell[kept], period[kept], units[kept], revenue[kept] / units[kept], group)

    def __len__(self) -> int:
        return len(self.cell)

    @property
    def cells(self) -> int:
        return len(self.group)

    def rows(self, chosen: Flags) -> "Panel":
        return Panel(self.cell[chosen], self.period[chosen], self.units[chosen], self.price[chosen], self.group)
