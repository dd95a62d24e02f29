"""Ledger of a simulated market: prices, stock, views, orders and refunds, added up as a database does it.

Orders belong to the price interval that was in force when they were placed, whenever they are paid; refunds to the
interval of their order. Views without available stock are not counted for an interval. Row i of each array is the
product with id i + 1.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from scalecommerce_core.domain.currencies import DEFAULT_MINOR_PER_UNIT
from scalecommerce_core.pricing.arrays import Flags, Whole
from scalecommerce_core.pricing.facts import DAY, NEUTRAL_FACTS
from scalecommerce_core.pricing.promotion_windows import PromotionWindows

PLENTY: Final = 1_000_000_000
"""Stock of products that never run out of it."""
_FOREVER: Final = np.iinfo(np.int64).max
_UNKNOWN: Final = -1
_INTERVAL: Final = ("product", "valid_from", "ends", "price", "is_manual")
_COUNTS: Final = ("views", "orders", "units", "refunded")


@frozen(eq=False, kw_only=True)
class Listing:
    """Products when the market opens. Amounts are minor units, -1 for unknown; scalars apply to all products."""

    price: Whole
    category: ArrayLike = 1
    cost: ArrayLike = _UNKNOWN
    min_price: ArrayLike = _UNKNOWN
    max_price: ArrayLike = _UNKNOWN
    stock: ArrayLike = PLENTY
    stock_until: ArrayLike = _UNKNOWN
    """Time (microseconds since 1970) at which the stock must have lasted."""


@frozen(eq=False)
class _Pending:
    """Counts that are added to price intervals at a time that is still to come."""

    due: int
    is_refund: bool
    interval: Whole
    """Row of the interval; -1: no longer recorded."""
    product: Whole
    price: Whole
    orders: Whole
    units: Whole


class Ledger:
    """The products of a simulated market, and all that has happened to them.

    `now` is the opening time in microseconds since 1970. Intervals that ended more than `kept_days` ago are deleted.
    `nearest_admissible` maps prices to those that the market has. `counts` is the type of counts: float64 for markets
    that sell fractions of a unit.
    """

    def __init__(
        self,
        listing: Listing,
        now: int,
        *,
        kept_days: float = np.inf,
        nearest_admissible: Callable[[Whole], Whole] = lambda prices: prices,
        counts: type[Any] = np.int64,
    ) -> None:
        size, self._kept_days, self._counts = len(listing.price), kept_days, counts
        self._nearest_admissible = nearest_admissible
        self.start_price = listing.price

        def column(value: ArrayLike, kind: type[Any] = np.int64) -> NDArray[Any]:
            return np.broadcast_to(np.asarray(value, dtype=kind), (size,)).copy()

        self._fixed: dict[str, Whole] = {
            "product": np.arange(1, size + 1), "category": column(listing.category), "created_at": column(now),
            "cost": column(listing.cost), "min_price": column(listing.min_price),
            "max_price": column(listing.max_price), "minor_per_unit": column(DEFAULT_MINOR_PER_UNIT),
            **{name: column(value) for name, value in NEUTRAL_FACTS.items()},
        }  # fmt: skip
        self.stock, self.stock_until = column(listing.stock, counts), column(listing.stock_until)
        self.out_of_stock, self.views_ever = column(0), column(0, counts)
        self.net_units, self.net_amount = column(0, counts), column(0, counts)
        self._windows = PromotionWindows(*np.empty((3, 0), dtype=np.int64))
        self.epoch_views, self.epoch_units = column(0, counts), column(0, counts)
        # Price intervals: the first `_rows` elements of each column are in use.
        self._rows = 0
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros(2 * size, dtype=counts if name in _COUNTS else np.int64) for name in (*_INTERVAL, *_COUNTS)
        }
        self.own_price = listing.price.copy()
        """The price at which each product was listed, or which was last set by hand."""
        self.current: Whole = self._append(np.arange(size), now, listing.price, is_manual=False)
        """Row of the current price interval of each product."""
        self._pending: list[_Pending] = []

    def __len__(self) -> int:
        return len(self.stock)

    @property
    def price(self) -> Whole:
        """Prices in force."""
        return self._columns["price"][self.current]

    @property
    def priced_at(self) -> Whole:
        return self._columns["valid_from"][self.current]

    # --- what happens in the market

    def set_prices(self, products: Whole, prices: Whole, at: int, *, is_manual: bool) -> Whole:
        """Put prices in force at `at` for the products in these rows, and return the rows whose price changed."""
        prices = self._nearest_admissible(prices)
        moved = prices != self.price[products]
        products, prices = products[moved], prices[moved]
        self._columns["ends"][self.current[products]] = at
        self.current[products] = self._append(products, at, prices, is_manual=is_manual)
        if is_manual:
            self.own_price[products] = prices
        return products

    def announce(self, products: Whole, begins: int, ends: int) -> None:
        """Announce a promotion of the products in these rows."""
        old, ids = self._windows, products + 1
        product = np.append(old.product, ids)
        starts, until = np.append(old.starts_at, 0 * ids + begins), np.append(old.ends_at, 0 * ids + ends)
        order = np.lexsort((starts, product))
        self._windows = PromotionWindows(product[order], starts[order], until[order])

    def add_views(self, counts: ArrayLike, *, during_outage: ArrayLike = 0) -> None:
        """Count views at the current prices, and views while the product had no stock."""
        views = self._column(counts)
        self._columns["views"][self.current] += views
        self.views_ever += views + self._column(during_outage)
        self.epoch_views += views

    def add_orders(self, orders: ArrayLike, units: ArrayLike, *, paid_at: int | None = None) -> None:
        """Count orders at the current prices, with their units; at `paid_at` if they are not paid at once."""
        placed = _Pending(
            paid_at or 0, False, self.current.copy(), np.arange(len(self)), self.price, self._column(orders),
            self._column(units),
        )  # fmt: skip
        self.epoch_units += placed.units
        self._settle(placed) if paid_at is None else self._pending.append(placed)

    def refund_later(self, units: ArrayLike, at: int) -> None:
        """Refund units, sold at the current prices, at `at`."""
        count = self._column(units)
        some = np.flatnonzero(count)
        if len(some):
            here = self.current[some], some, self.price[some], np.zeros_like(count[some]), count[some]
            self._pending.append(_Pending(at, True, *here))

    def observe_competitor(self, price: Whole, at: int) -> None:
        """Record the lowest price of a competitor of each product, observed at the time `at`; -1: unknown."""
        self._fixed["competitor"] = price.astype(np.int64)
        self._fixed["competitor_at"] = np.where(price < 0, -1, at)

    def settle(self, now: int) -> None:
        """Count the payments and refunds that are due, and begin an epoch."""
        due = [each for each in self._pending if each.due <= now]
        self._pending = [each for each in self._pending if each.due > now]
        for each in due:
            self._settle(each)
        self.epoch_views, self.epoch_units = np.zeros_like(self.epoch_views), np.zeros_like(self.epoch_units)
        if np.isfinite(self._kept_days):
            self._prune(now - int(self._kept_days * DAY))

    # --- what pricing reads

    def facts(self, now: int = _FOREVER) -> dict[str, Whole]:
        """Columns of `facts.Facts` at the time `now`."""
        rows = {name: self._columns[name][self.current] for name in ("price", *_COUNTS)}
        return {
            **self._fixed, **rows, "priced_at": self.priced_at, "stock": self.stock, "stock_until": self.stock_until,
            "views_ever": self.views_ever, "net_units": self.net_units, "net_amount": self.net_amount,
            "out_of_stock": self.out_of_stock, **self._windows.facts(self._fixed["product"], now),
        }  # fmt: skip

    def intervals(self, first: int, last: int, since: int) -> dict[str, NDArray[Any]]:
        """Columns of `facts.PriceIntervals`: intervals that ended after `since`, of products with ids from `first` to
        `last` whose price changed after `since`.
        """
        rows = {name: column[: self._rows] for name, column in self._columns.items()}
        chosen = (rows["ends"] > since) & (rows["product"] >= first - 1) & (rows["product"] < last)
        changed = self.priced_at > np.maximum(since, self._fixed["created_at"])
        found = np.flatnonzero(chosen & changed[rows["product"]])
        found = found[np.argsort(rows["product"][found], kind="stable")]
        columns = {name: column[found] for name, column in rows.items()}
        columns["product"] = columns["product"] + 1
        return columns | {
            "is_manual": columns["is_manual"].astype(np.bool_), "is_withdrawn": np.zeros(len(found), np.bool_),
            "is_promoted": self._windows.promoted(columns["product"], columns["valid_from"]),
        }  # fmt: skip

    def _column(self, counts: ArrayLike) -> NDArray[Any]:
        return np.broadcast_to(np.asarray(counts, dtype=self._counts), (len(self),))

    def _append(self, products: Whole, at: int, prices: Whole, *, is_manual: bool) -> Whole:
        rows = np.arange(self._rows, self._rows + len(products))
        self._rows += len(products)
        if self._rows > len(self._columns["price"]):
            room = max(self._rows, len(self._columns["price"]))
            self._columns = {
                name: np.concatenate([column, np.zeros(room, column.dtype)]) for name, column in self._columns.items()
            }
        new = (products, at, _FOREVER, prices, is_manual, 0, 0, 0, 0)
        for name, value in zip((*_INTERVAL, *_COUNTS), new, strict=True):
            self._columns[name][rows] = value
        return rows

    def _settle(self, each: _Pending) -> None:
        kept = each.interval >= 0
        counts = {"refunded": each.units} if each.is_refund else {"units": each.units, "orders": each.orders}
        for name, count in counts.items():
            np.add.at(self._columns[name], each.interval[kept], count[kept])
        net = -each.units if each.is_refund else each.units
        np.add.at(self.net_units, each.product, net)
        np.add.at(self.net_amount, each.product, net * each.price)

    def _prune(self, before: int) -> None:
        """Delete intervals that ended before `before`, once they are most of the rows."""
        kept: Flags = self._columns["ends"][: self._rows] > before
        if 2 * int(kept.sum()) > self._rows:
            return
        new = np.where(kept, np.cumsum(kept) - 1, -1)
        self._rows = int(kept.sum())
        for column in self._columns.values():
            column[: self._rows] = column[: len(kept)][kept]
        self.current = new[self.current]
        self._pending = [
            _Pending(
                each.due, each.is_refund, np.where(each.interval < 0, -1, new[each.interval]), each.product, each.price,
                each.orders, each.units,
            )
            for each in self._pending
        ]  # fmt: skip


def days(count: float) -> int:
    """Days in microseconds."""
    return round(count * DAY)


def whole(values: NDArray[np.floating[Any]] | Whole) -> Whole:
    """Rounded to whole numbers, such as minor units or views."""
    rounded: Whole = np.rint(values).astype(np.int64)
    return rounded
