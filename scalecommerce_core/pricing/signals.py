"""Signals: the input of strategies and guardrails; one array per fact, one element per product."""

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
from attrs import evolve, field, fields, frozen
from numpy.typing import NDArray

from scalecommerce_core.domain.currencies import DEFAULT_MINOR_PER_UNIT
from scalecommerce_core.pricing.arrays import Flags, Floats, Whole

MOST_GROUPS: Final = 10_000_000
"""Upper limit of group numbers: strategies allocate arrays with an element per group."""
UNKNOWN: Final = -1
"""Value of an unknown amount: no cost, no limit."""


def _column(dtype: type[Any], default: float | None) -> dict[str, Any]:
    return {"dtype": np.dtype(dtype), "default": default}


@frozen(kw_only=True, eq=False)
class Signals:
    """Signals of one epoch. Amounts are in minor units of each product's currency.

    `views`, `orders`, `units`, `refunded` and `days` cover the part of the epoch in which `price` was in force and the
    product in stock: time without stock says nothing about demand (censoring), and sales at another price belong to
    that price. An order counts at the price that was in force when it was placed.
    """

    product: Whole = field(metadata=_column(np.int64, None))
    group: Whole = field(metadata=_column(np.int64, 0))
    """Number of the category, from 0; strategies may combine estimates within a group."""
    price: Whole = field(metadata=_column(np.int64, None))
    """Current price."""
    reference: Whole = field(metadata=_column(np.int64, None))
    """Price at which the policy started the product; elasticities are relative to it."""
    seller_price: Whole = field(metadata=_column(np.int64, UNKNOWN))
    """Last price that the seller set more than 20 % away from the reference price; -1: none. Unknown costs are relative
    to it."""
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
    """Lowest and highest price of the last day and the last 30 days, including the current price."""
    views: Floats = field(metadata=_column(np.float64, 0.0))
    units: Floats = field(metadata=_column(np.float64, 0.0))
    """Units sold, net of refunds."""
    refunded: Floats = field(metadata=_column(np.float64, 0.0))
    """Units refunded in this time that were sold at this price, also in earlier epochs."""
    orders: Floats = field(metadata=_column(np.float64, UNKNOWN))
    """Orders with these units before refunds, of one or several units each; -1: unknown, each unit is one purchase."""
    late_units: Floats = field(metadata=_column(np.float64, 0.0))
    """Units less refunds of earlier prices that became known in this time: orders that were paid later, and refunds,
    which make it negative."""
    late_price: Floats = field(metadata=_column(np.float64, 0.0))
    """Their mean price; 0 if there are none."""
    views_assumed: Flags = field(metadata=_column(np.bool_, 0))
    """Whether views are not counted: `views` then is a constant number for each day on sale."""
    weight: Floats = field(metadata=_column(np.float64, 1.0))
    """Weight of `views` and `units` as evidence, from 0 to 1; below 1 for anomalies, which `anomalies` replaces."""
    is_held: Flags = field(metadata=_column(np.bool_, 0))
    """Whether the guardrail `anomaly_hold` keeps the price."""
    counted_views: Floats = field(metadata=_column(np.float64, UNKNOWN))
    """Views before the anomaly filter; -1 if it changed neither views nor units."""
    counted_units: Floats = field(metadata=_column(np.float64, UNKNOWN))
    """Net units before the anomaly filter."""
    view_side_effect: Floats = field(metadata=_column(np.float64, 0.0))
    view_distance_effect: Floats = field(metadata=_column(np.float64, 0.0))
    """Effects of the price on the logarithm of views, the same for all products of the policy; 0: there is none.

    `views` are those that the product would have had at its reference price (`view_following`). In `pool`, they are the
    effects from then on."""
    uncorrected_views: Floats = field(metadata=_column(np.float64, UNKNOWN))
    """`views` before they were corrected by these effects; -1 if they were not."""
    days: Floats = field(metadata=_column(np.float64, 7.0))
    """Days on sale and in stock in this epoch."""
    epoch_days: Floats = field(metadata=_column(np.float64, 7.0))
    """Length of the epoch in days, including days without stock."""
    views_ever: Floats = field(metadata=_column(np.float64, np.inf))
    history_days: Floats = field(metadata=_column(np.float64, np.inf))
    """Days since the product was listed."""
    since_change: Floats = field(metadata=_column(np.float64, np.inf))
    """Days since the last price change by a policy or by hand."""
    since_edit: Floats = field(metadata=_column(np.float64, np.inf))
    """Days since the last price change by hand; infinite if there was none."""
    stock: Floats = field(metadata=_column(np.float64, np.inf))
    """Available units; infinite if stock is unlimited."""
    days_left: Floats = field(metadata=_column(np.float64, np.inf))
    """Days until the stock is replenished or its season ends, which count down; infinite if unknown. If only the
    policy's `stock_days` is known, it is the same in each epoch."""
    promoted: Flags = field(metadata=_column(np.bool_, 0))
    """Whether an announced promotion is running; guardrails then keep the price."""
    held_out_price: Whole = field(metadata=_column(np.int64, 0))
    """The seller's own price, if an experiment keeps the product at it, else 0."""
    competitor: Whole = field(metadata=_column(np.int64, UNKNOWN))
    """Lowest price of a competitor."""
    competitor_days: Floats = field(metadata=_column(np.float64, np.inf))
    """Days since the competitor's price was observed; infinite if it is unknown."""
    min_hold_days: Floats = field(metadata=_column(np.float64, 0.0))
    """Days for which a price of the category must be kept."""
    until_promotion: Floats = field(metadata=_column(np.float64, np.inf))
    """Days until the next announced promotion starts; infinite if there is none."""

    @classmethod
    def of(cls, **columns: Any) -> Self:
        """Build signals from array-like columns; scalars are repeated, and missing columns have their default.

        Raise `ValueError` for an unknown column, a missing column without default, different lengths, and groups
        outside 0 to `MOST_GROUPS` - 1.
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
                f"Groups must be numbers from 0 to {MOST_GROUPS - 1:,}: strategies allocate a value for each."
            )
        return cls(**made)

    def __len__(self) -> int:
        return len(self.product)

    def full_cost(self) -> Floats:
        """Cost including the fee, cost / (1 - fee); NaN if the cost is unknown."""
        cost = np.where(self.cost >= 0, self.cost, np.nan)
        return cost * 10_000.0 / (10_000 - self.fee) if self.fee.any() else cost

    def rows(self, chosen: slice | Whole | Flags) -> "Signals":
        return Signals(**{name: getattr(self, name)[chosen] for name in COLUMNS})

    def own_price(self) -> Whole:
        """The price that the seller chose: `seller_price`, or the reference price."""
        return np.where(self.seller_price >= 0, self.seller_price, self.reference)

    def with_columns(self, **columns: NDArray[Any]) -> "Signals":
        return evolve(self, **columns)


COLUMNS: Final[Mapping[str, Any]] = {column.name: column for column in fields(Signals)}
