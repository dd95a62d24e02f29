"""Views and queries of the statistics of sellers and products."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.rollups import hour_of


@frozen
class TopProduct:
    id: ProductId
    name: str
    units_sold: int
    revenue: int


@frozen
class SellerStats:
    """Figures of a seller. A sale counts from its payment on; refunds are subtracted.

    `revenue` is in minor units of `currency`. Sales in other currencies are not counted: `currency` is the one in
    which the seller has the most paid orders. `conversion_rate` is orders per view.
    """

    total_products: int
    active_products: int
    total_views: int
    avg_views: float
    revenue: int
    currency: str
    units_sold: int
    orders: int
    conversion_rate: float
    top_products: tuple[TopProduct, ...]


class Interval(StrEnum):
    """The length of the points of a time series; hours and days begin by UTC."""

    HOUR = "hour"
    DAY = "day"

    def begin(self, at: datetime) -> datetime:
        """Return the beginning of the hour or day that contains `at`."""
        hour = hour_of(at)
        return hour if self is Interval.HOUR else hour.replace(hour=0)


@frozen
class SalesFigures:
    """Views and sales, amounts in minor units. `units` and `revenue` include refunded units and amounts."""

    views: int = 0
    orders: int = 0
    units: int = 0
    revenue: int = 0
    refunded_units: int = 0
    refunded_amount: int = 0

    @property
    def conversion_rate(self) -> float:
        return self.orders / self.views if self.views else 0.0


@frozen
class SeriesPoint:
    """Figures of the hour or day that begins at `start`: sales by time of payment, refunds by time of refund."""

    start: datetime
    sales: SalesFigures


@frozen
class SalesAtPrice:
    """Sales at one price, in force from `valid_from` until `valid_to`, which is None for the current price.

    A sale belongs to the price that was in force when the order was placed. `profit`, in minor units, is revenue less
    refunds less the product's present cost per unit; it is None if the product has no cost.
    """

    price: Money
    valid_from: datetime
    valid_to: datetime | None
    cause: PriceCause
    sales: SalesFigures
    profit: int | None


@frozen
class ProductStatistics:
    """All-time figures of a product in its own currency."""

    product_id: ProductId
    currency: str
    total: SalesFigures
    out_of_stock: timedelta
    out_of_stock_since: datetime | None
    prices: tuple[SalesAtPrice, ...]
    """Newest first, at most `MAX_PRICES`."""


MAX_PRICES: Final = 100


@frozen
class StatisticsDiscrepancy:
    """A figure of a rollup row that differs from its source; `key` is the key of the row as JSON."""

    rollup: str
    key: str
    figure: str
    stored: int
    expected: int


class StatisticsQueries(Protocol):
    """Figures from rollups, a few seconds old; the cost of a query does not grow with the number of orders."""

    def seller_stats(self, seller_id: AccountId) -> SellerStats:
        """Return the figures of a seller; zeros for an account without products and sales."""
        ...

    def seller_series(
        self, seller_id: AccountId, currency: str, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        """Return the points that begin at `since` or later and before `until`, oldest first; empty points are omitted.

        If `since` is within an hour or day, the series begins with the next one. The last point covers its whole hour
        or day even if `until` is within it. Raise `Invalid` if `until` is before `since`.
        """
        ...

    def product_statistics(self, product_id: ProductId, now: datetime) -> ProductStatistics | None:
        """Return the figures of a product; None if it does not exist or is withdrawn."""
        ...

    def product_series(
        self, product_id: ProductId, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        """Return the points of one product, in its currency; see `seller_series`."""
        ...

    def statistics_discrepancies(self, limit: int = 100) -> Sequence[StatisticsDiscrepancy]:
        """Compare the rollups with orders, refunds and products in one snapshot. This reads whole tables.

        Events that are not yet added to the rollups are excluded on both sides. Sales at a price are compared in sum
        per product, since clocks of different machines may assign a sale to an adjacent price interval.
        """
        ...
