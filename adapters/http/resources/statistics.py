"""Sales statistics: of all products of a seller, and of a product by time and by price."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.resources.products import PRODUCT, ROOT, TAG
from adapters.http.resources.search import Moment
from adapters.http.schemas.products import SellerStatsSchema, may_see_private_fields, to_seller_stats_schema
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.queries import Interval, SalesAtPrice, SalesFigures, SeriesPoint

INTERVAL_LENGTH: Final = {Interval.HOUR: timedelta(hours=1), Interval.DAY: timedelta(days=1)}
MAX_POINTS: Final = 1_000
"""Limit on the points of a series, including empty points, which responses omit."""
DEFAULT_POINTS: Final = {Interval.HOUR: 48, Interval.DAY: 30}
"""Points of a series for which the request gives no `from`."""


class SeriesQuery(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    since: Annotated[
        Moment | None,
        msgspec.Meta(
            description="The series begins with the first whole hour or day (UTC) from this time. By default, 48 hours"
            " or 30 days before `to`.",
            examples=["2026-11-01T00:00:00Z"],
        ),
    ] = None
    until: Annotated[
        Moment | None,
        msgspec.Meta(
            description="The last point begins before this time, and counts its whole hour or day. By default, now.",
            examples=["2026-12-01T00:00:00Z"],
        ),
    ] = None

    def __post_init__(self) -> None:
        check_ranges(("from", self.since, "to", self.until))


class SellerStatsQuery(SeriesQuery, frozen=True):
    series: Annotated[
        Interval | None, msgspec.Meta(description="Add a time series in `currency`, by hours or days (UTC).")
    ] = None

    def __post_init__(self) -> None:
        """Raise `Invalid` for bounds without a series, to which they would apply."""
        bounds = [name for name, at in (("from", self.since), ("to", self.until)) if at is not None]
        if self.series is None and bounds:
            raise Invalid(
                {name: ["This parameter requires a series: add series=hour or series=day."] for name in bounds}
            )
        SeriesQuery.__post_init__(self)


class ProductStatisticsQuery(SeriesQuery, frozen=True):
    interval: Annotated[Interval, msgspec.Meta(description="Length of the points of the series (UTC).")] = Interval.DAY


class SoldSchema(msgspec.Struct):
    """`units` and `revenue` include refunded units; `conversion_rate` is orders per view."""

    views: int
    orders: int
    units: int
    revenue: str
    refunded_units: int
    refunded_amount: str
    conversion_rate: float


class PointSchema(SoldSchema):
    """Sales count when they are paid, refunds when they are made; `start` is the start of an hour or day (UTC)."""

    start: datetime


class SellerStatsSeriesSchema(SellerStatsSchema, kw_only=True):
    series: list[PointSchema] | UnsetType = UNSET


class PriceStatisticsSchema(SoldSchema):
    """Orders at this price. `profit` is after refunds, at the current cost of the product; null without a cost."""

    price: str
    valid_from: datetime
    valid_to: datetime | None
    cause: PriceCause
    profit: str | None


class ProductStatisticsSchema(SoldSchema):
    """All-time figures, a time series, and figures by price, newest first."""

    product: int
    currency: str
    seconds_out_of_stock: float
    out_of_stock_since: datetime | None
    series: list[PointSchema]
    prices: list[PriceStatisticsSchema]


class StatisticsResource:
    """Sales statistics for sellers."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market

    @OperationSpec(
        method="GET",
        path=f"{ROOT}seller-stats/",
        name="readSellerStats",
        summary="Read statistics of the caller's products",
        responses={
            200: ResponseSpec(
                SellerStatsSeriesSchema, "The statistics. A sale is included a few seconds after its payment."
            )
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.STATISTICS_READ,
    )
    async def read_seller_stats(self, call: Call[None, SellerStatsQuery]) -> Response:
        stats = await self._dependencies.run_in_thread(self._market.queries.seller_stats, call.identity.account_id)
        document = SellerStatsSeriesSchema(**msgspec.structs.asdict(to_seller_stats_schema(stats)))
        if call.query.series is not None:
            interval = call.query.series
            since, until = _series_bounds(call.query, interval, self._market.clock.now())
            points = await self._dependencies.run_in_thread(
                self._market.queries.seller_series, call.identity.account_id, stats.currency, interval, since, until
            )
            document.series = [_to_point_schema(point, stats.currency) for point in points]
        return json_response(document)

    @OperationSpec(
        method="GET",
        path=f"{PRODUCT}statistics/",
        name="readProductStatistics",
        summary="Read views and sales of a product, by time and by price",
        description="For its seller and staff.",
        responses={
            200: ResponseSpec(
                ProductStatisticsSchema, "The statistics. A sale is included a few seconds after its payment."
            )
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.STATISTICS_READ,
        errors=(Forbidden,),
    )
    async def read_product_statistics(self, call: Call[None, ProductStatisticsQuery]) -> Response:
        view = await self._dependencies.load_product.submit(ProductId(call.id))
        if not may_see_private_fields(view, call.identity):
            if not view.is_active:
                raise NotFound("product", call.id)
            raise Forbidden("Only the seller of the product and staff may read its statistics.")
        now = self._market.clock.now()
        since, until = _series_bounds(call.query, call.query.interval, now)
        found = await self._dependencies.run_in_thread(self._market.queries.product_statistics, view.id, now)
        if found is None:
            raise NotFound("product", call.id)
        points = await self._dependencies.run_in_thread(
            self._market.queries.product_series, view.id, call.query.interval, since, until
        )
        return json_response(
            ProductStatisticsSchema(
                **_sold_fields(found.total, found.currency),
                product=found.product_id,
                currency=found.currency,
                seconds_out_of_stock=found.out_of_stock.total_seconds(),
                out_of_stock_since=found.out_of_stock_since,
                series=[_to_point_schema(point, found.currency) for point in points],
                prices=[_to_price_schema(each) for each in found.prices],
            )
        )


def _series_bounds(query: SeriesQuery, interval: Interval, now: datetime) -> tuple[datetime, datetime]:
    """The range of the points' starts; raise `Invalid` if it is reversed or has more than `MAX_POINTS` points."""
    length = INTERVAL_LENGTH[interval]
    try:
        until = (query.until or interval.begin(now) + length).astimezone(UTC)
        since = (query.since or until - DEFAULT_POINTS[interval] * length).astimezone(UTC)
    except OverflowError:
        raise Invalid.field("from", "The time must be within the years 1 to 9999.") from None
    check_ranges(("from", since, "to" if query.until is not None else "now", until))
    if until - since > MAX_POINTS * length:
        raise Invalid.field("from", f"A series has at most {MAX_POINTS} points.")
    return since, until


def _sold_fields(sold: SalesFigures, currency: str) -> dict[str, Any]:
    return {
        "views": sold.views,
        "orders": sold.orders,
        "units": sold.units,
        "revenue": decimal_text(sold.revenue, currency),
        "refunded_units": sold.refunded_units,
        "refunded_amount": decimal_text(sold.refunded_amount, currency),
        "conversion_rate": sold.conversion_rate,
    }


def _to_point_schema(point: SeriesPoint, currency: str) -> PointSchema:
    return PointSchema(**_sold_fields(point.sales, currency), start=point.start)


def _to_price_schema(each: SalesAtPrice) -> PriceStatisticsSchema:
    return PriceStatisticsSchema(
        **_sold_fields(each.sales, each.price.currency),
        price=each.price.text,
        valid_from=each.valid_from,
        valid_to=each.valid_to,
        cause=each.cause,
        profit=None if each.profit is None else decimal_text(each.profit, each.price.currency),
    )
