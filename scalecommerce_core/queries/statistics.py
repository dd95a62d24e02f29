"""Views and queries of the statistics of sellers and products."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, Self

from attrs import astuple, frozen

from scalecommerce_core.domain.errors import Invalid
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.domain.rollups import OUTAGE_MEMORY, hour_of
from scalecommerce_core.queries.pagination import Page, PageRequest


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

    @property
    def length(self) -> timedelta:
        return timedelta(hours=1) if self is Interval.HOUR else timedelta(days=1)

    def whole_points(self, since: datetime, until: datetime) -> tuple[datetime, datetime]:
        """Return the start and the end of the points that begin at `since` or later and before `until`, in UTC.

        Raise `Invalid` if `until` is before `since`.
        """
        check_ranges(("since", since, "until", until))
        start, end = (self._next_begin(at.astimezone(UTC)) for at in (since, until))
        return start, end

    def _next_begin(self, at: datetime) -> datetime:
        begun = self.begin(at)
        return begun if begun == at else begun + self.length


MAX_POINTS: Final = 1_000
"""Limit on the points of a series, including empty points, which are omitted."""
DEFAULT_POINTS: Final = {Interval.HOUR: 48, Interval.DAY: 30}
"""Points of a series without a given start."""


def series_range(
    interval: Interval, since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """The range of the points' starts in UTC. By default, the last `DEFAULT_POINTS` and the present one.

    Raise `Invalid`, which names `from`, if the range is reversed or has more than `MAX_POINTS` points.
    """
    length = interval.length
    try:
        end = (until or interval.begin(now) + length).astimezone(UTC)
        begin = (since or end - DEFAULT_POINTS[interval] * length).astimezone(UTC)
    except OverflowError:
        raise Invalid.field("from", "The time must be within the years 1 to 9999.") from None
    check_ranges(("from", begin, "to" if until is not None else "now", end))
    if end - begin > MAX_POINTS * length:
        raise Invalid.field("from", f"A series has at most {MAX_POINTS} points.")
    return begin, end


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

    @property
    def net_revenue(self) -> int:
        """Revenue after refunds."""
        return self.revenue - self.refunded_amount

    @classmethod
    def sum(cls, several: Iterable["SalesFigures"]) -> Self:
        return cls(*map(sum, zip(*map(astuple, several), strict=True)))


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
class ProductSales:
    """Figures of one product in a range of time."""

    id: ProductId
    name: str
    sales: SalesFigures


@frozen
class SalesReport:
    """Sales of a seller in a range of time, and in the range of the same length before it.

    The range is made of whole hours or days (UTC), from `since` to `until`; the one before it begins at
    `previous_since` and ends at `since`. Amounts are in `currency`, the one in which the seller has the most paid
    orders; sales in other currencies are not counted. Hours and days without any event have no point.
    """

    currency: str
    interval: Interval
    since: datetime
    until: datetime
    previous_since: datetime
    points: tuple[SeriesPoint, ...]
    total: SalesFigures
    previous: SalesFigures
    top_products: tuple[ProductSales, ...]
    """At most `TOP_PRODUCTS`, those of the highest revenue after refunds first; of equal ones, the oldest."""


TOP_PRODUCTS: Final = 10
TOP_CANDIDATES: Final = 1_000
"""The top products of a range are chosen from so many products of the highest revenue of all time."""


@frozen
class StockOutlook:
    """How long the available units of a product last.

    `available` is units on hand less reserved ones. `sold` is the units that were paid in the last `SALES_WINDOW`, of
    which the product was listed and had available units for `days_in_stock` days, at least one. At this rate,
    `minutes_left` pass until no unit is available; 0 if none is now.
    """

    id: ProductId
    name: str
    sku: str | None
    available: int
    reserved: int
    sold: int
    days_in_stock: float
    minutes_left: int

    @property
    def units_a_day(self) -> float:
        return self.sold / self.days_in_stock

    @property
    def days_left(self) -> float:
        return self.minutes_left / MINUTES_A_DAY


SALES_WINDOW: Final = OUTAGE_MEMORY
"""The time over which `StockOutlook` measures the rate of sales."""
MINUTES_A_DAY: Final = 24 * 60
LEAST_IN_STOCK: Final = timedelta(days=1)
"""`StockOutlook` divides sales by at least this time: a few minutes in stock say little about the rate of sales."""
LONGEST_OUTLOOK: Final = timedelta(days=3_650)
"""Stock that lasts longer counts as stock that does not run out."""


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

    def sales_report(self, seller_id: AccountId, interval: Interval, since: datetime, until: datetime) -> SalesReport:
        """Return the sales of a seller in the points that begin at `since` or later and before `until`.

        Raise `Invalid` if `until` is before `since`.
        """
        ...

    def stock_outlook(
        self, seller_id: AccountId, now: datetime, page: PageRequest, *, within: timedelta = LONGEST_OUTLOOK
    ) -> Page[StockOutlook]:
        """Return the active products whose stock runs out within the time `within` or has run out.

        Those that run out first come first; of those that run out together, the ones that sold more units, then the
        older ones. Products that have stock and did not sell in the last `SALES_WINDOW` are left out.
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
