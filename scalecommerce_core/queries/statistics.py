"""Reading seller and product statistics."""

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
    """A sale counts when PAID; refunds are taken off. `revenue` in minor units; conversion is orders per view.

    Sales are those in `currency`, in which the seller has the most paid orders: currencies do not add up.
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
    """How long a point of a time series is; hours and days begin by UTC."""

    HOUR = "hour"
    DAY = "day"

    def begin(self, at: datetime) -> datetime:
        """Of the hour or day that `at` is in."""
        hour = hour_of(at)
        return hour if self is Interval.HOUR else hour.replace(hour=0)


@frozen
class SalesFigures:
    """What was viewed and sold, amounts in minor units; `units` and `revenue` include what was refunded."""

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
    """The hour or day that begins at `start`: sales by the time of payment, refunds by their own."""

    start: datetime
    sales: SalesFigures


@frozen
class SalesAtPrice:
    """What one price brought, from `valid_from` until `valid_to` (None: it is in force).

    Sales belong to the price that was in force when they were ordered. `profit` is after refunds, at the product's
    present cost; None: the cost is not known.
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
    """A figure of a rollup's row (its key as JSON) that differs from its source."""

    rollup: str
    key: str
    figure: str
    stored: int
    expected: int


class StatisticsQueries(Protocol):
    """From rollups: a few seconds behind, and as fast for a million orders as for one."""

    def seller_stats(self, seller_id: AccountId) -> SellerStats: ...

    def seller_series(
        self, seller_id: AccountId, currency: str, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        """Non-empty points that begin at `since` or later and before `until`, oldest first.

        No point counts what happened before `since`: the hour or day that `since` is in the middle of is left out. The
        last point counts its whole hour or day, also when `until` is in the middle of it. Raises `Invalid` when `until`
        is before `since`.
        """
        ...

    def product_statistics(self, product_id: ProductId, now: datetime) -> ProductStatistics | None: ...

    def product_series(
        self, product_id: ProductId, interval: Interval, since: datetime, until: datetime
    ) -> Sequence[SeriesPoint]:
        """As `seller_series`, of one product."""
        ...

    def statistics_discrepancies(self, limit: int = 100) -> Sequence[StatisticsDiscrepancy]:
        """Compare the rollups with orders, refunds and products, as of one moment. This reads whole tables.

        What is not folded yet is left out. Sales per price are compared per product: where an interval begins is as
        sharp as the clocks of all machines agree.
        """
        ...
