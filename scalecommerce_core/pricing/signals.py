"""What a policy sees: one column per fact, one row per product, all of one epoch and one currency."""

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
from attrs import evolve, field, fields, frozen
from numpy.typing import NDArray

from scalecommerce_core.domain.currencies import DEFAULT_MINOR_PER_UNIT
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole

MOST_GROUPS: Final = 10_000_000
"""Groups are indexes of arrays that policies allocate, so their number is bounded."""
UNKNOWN: Final = -1
"""An amount that nobody has told: no cost, no bound."""


def _column(dtype: type[Any], default: float | None) -> dict[str, Any]:
    return {"dtype": np.dtype(dtype), "default": default}


@frozen(kw_only=True, eq=False)
class Signals:
    """Amounts in minor units. Views, units and days concern the time in this epoch when `price` was in force and
    the product in stock: what could not be bought says nothing about demand (censoring), and what was sold at
    another price belongs to that price.
    """

    product: Whole = field(metadata=_column(np.int64, None))
    group: Whole = field(metadata=_column(np.int64, 0))
    """Number of the category, counted from 0: products of one group learn from each other."""
    price: Whole = field(metadata=_column(np.int64, None))
    """In force now."""
    reference: Whole = field(metadata=_column(np.int64, None))
    """Where the seller started it: elasticities and unknown costs are relative to it."""
    minor_per_unit: Whole = field(metadata=_column(np.int64, DEFAULT_MINOR_PER_UNIT))
    """Minor units in one whole unit of the currency: 100 cents, 1 yen, 1000 fils."""
    cost: Whole = field(metadata=_column(np.int64, UNKNOWN))
    fee: Whole = field(metadata=_column(np.int64, 0))
    """The marketplace's share of the price, in hundredths of a percent."""
    min_price: Whole = field(metadata=_column(np.int64, UNKNOWN))
    max_price: Whole = field(metadata=_column(np.int64, UNKNOWN))
    median_90d: Whole = field(metadata=_column(np.int64, UNKNOWN))
    """Median price of the last 90 days, weighted by time."""
    lowest_1d: Whole = field(metadata=_column(np.int64, UNKNOWN))
    highest_1d: Whole = field(metadata=_column(np.int64, UNKNOWN))
    lowest_30d: Whole = field(metadata=_column(np.int64, UNKNOWN))
    highest_30d: Whole = field(metadata=_column(np.int64, UNKNOWN))
    """Bounds of the prices in force during the last day and the last 30 days, the present one included."""
    views: Floats = field(metadata=_column(np.float64, 0.0))
    units: Floats = field(metadata=_column(np.float64, 0.0))
    """Sold, less refunds."""
    days: Floats = field(metadata=_column(np.float64, 7.0))
    """On sale and in stock in this epoch."""
    epoch_days: Floats = field(metadata=_column(np.float64, 7.0))
    """Length of the epoch: the world drifts on while nothing is in stock."""
    views_ever: Floats = field(metadata=_column(np.float64, np.inf))
    history_days: Floats = field(metadata=_column(np.float64, np.inf))
    """Since the product was listed."""
    since_change: Floats = field(metadata=_column(np.float64, np.inf))
    """Days since the price last moved, whoever moved it."""
    since_edit: Floats = field(metadata=_column(np.float64, np.inf))
    """Days since somebody last priced it by hand; infinite for never."""
    stock: Floats = field(metadata=_column(np.float64, np.inf))
    """Units that can be promised; infinite where stock does not limit."""
    days_left: Floats = field(metadata=_column(np.float64, np.inf))
    """Until the stock is replenished, or its season is over; infinite for unknown."""
    promoted: Flags = field(metadata=_column(np.bool_, 0))
    """A promotion is on: automation leaves the price alone."""

    @classmethod
    def of(cls, **columns: Any) -> Self:
        """From anything that numpy makes arrays of; single values are repeated, what is not named has its default.

        Raise `ValueError` for a name that is no column, one that is missing, lengths that differ, and groups out of
        the range from 0 to `MOST_GROUPS` - 1.
        """
        if unknown := columns.keys() - COLUMNS.keys():
            raise ValueError(f"No such signals: {', '.join(sorted(unknown))}.")
        size = max((np.size(value) for value in columns.values() if np.ndim(value)), default=1)
        made: dict[str, NDArray[Any]] = {}
        for name, column in COLUMNS.items():
            value = columns.get(name, column.metadata["default"])
            if value is None:
                raise ValueError(f"The signal {name} is missing.")
            array = np.asarray(value, dtype=column.metadata["dtype"])
            made[name] = array if array.ndim else np.full(size, array)
            if made[name].shape != (size,):
                raise ValueError(f"The signal {name} has {made[name].size} values for {size} products.")
        group = made["group"]
        if size and not (group.min() >= 0 and group.max() < MOST_GROUPS):
            raise ValueError(
                f"Groups must be numbers from 0 to {MOST_GROUPS - 1:,}: policies allocate a value for each."
            )
        return cls(**made)

    def __len__(self) -> int:
        return len(self.product)

    def full_cost(self) -> Floats:
        """The price at which nothing is earned, cost / (1 - fee); NaN where the cost is unknown."""
        cost = np.where(self.cost >= 0, self.cost, np.nan)
        return cost * 10_000.0 / (10_000 - self.fee)

    def rows(self, chosen: slice | Whole | Flags) -> "Signals":
        return Signals(**{name: getattr(self, name)[chosen] for name in COLUMNS})

    def with_columns(self, **columns: NDArray[Any]) -> "Signals":
        return evolve(self, **columns)


COLUMNS: Final[Mapping[str, Any]] = {column.name: column for column in fields(Signals)}
