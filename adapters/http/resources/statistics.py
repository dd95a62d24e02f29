"""Sales statistics of a seller and of a product, by time and by price, and how long stock lasts."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.products import PRODUCT, ROOT, TAG
from adapters.http.resources.search import Moment
from adapters.http.schemas.products import SellerStatsSchema, may_see_private_fields, to_seller_stats_schema
from adapters.http.schemas.sales import SoldSchema, sold_fields
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.queries import (
    LONGEST_OUTLOOK,
    Interval,
    SalesAtPrice,
    SalesReport,
    SeriesPoint,
    StockOutlook,
    series_range,
)


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


class SalesReportQuery(SeriesQuery, frozen=True):
    interval: Annotated[Interval, msgspec.Meta(description="Length of the points of the series (UTC).")] = Interval.DAY


class StockOutlookQuery(PageQuery, frozen=True):
    within_days: (
        Annotated[
            int,
            msgspec.Meta(
                ge=0,
                le=LONGEST_OUTLOOK.days,
                description="Only products whose stock runs out within so many days; 0: those without stock.",
                examples=[14],
            ),
        ]
        | None
    ) = None


class PointSchema(SoldSchema):
    """Sales count when they are paid, refunds when they are made; `start` is the start of an hour or day (UTC)."""

    start: datetime


class ProductSalesSchema(SoldSchema):
    """Figures of one product."""

    product: int
    name: str


class SalesReportSchema(msgspec.Struct):
    """Sales from `starts_at` to `ends_at`, whole hours or days (UTC), in `currency`, the one of most orders.

    `previous` is the figures of the range of the same length before, from `previous_starts_at` to `starts_at`.
    `series` leaves out points without any event. `top_products` are the ten of the highest revenue after refunds,
    chosen from the thousand products of the highest revenue of all time.
    """

    currency: str
    interval: Interval
    starts_at: datetime
    ends_at: datetime
    previous_starts_at: datetime
    total: SoldSchema
    previous: SoldSchema
    series: list[PointSchema]
    top_products: list[ProductSalesSchema]


class StockOutlookSchema(msgspec.Struct):
    """How long the `stock`, the units that are not reserved, lasts.

    `sold` is the units that were paid in the last 28 days, of which the product was listed and in stock for
    `days_in_stock` days, at least one. At this rate, `units_a_day`, no unit is left in `days_left` days, at
    `runs_out_at`.
    """

    product: int
    name: str
    sku: str | None
    stock: int
    reserved: int
    sold: int
    days_in_stock: float
    units_a_day: float
    days_left: float
    runs_out_at: datetime


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
        path=f"{ROOT}sales-report/",
        name="readSalesReport",
        summary="Read the sales of the caller's products in a range, compared with the range before",
        description="The range is made of whole hours or days. By default, the last 48 hours or 30 days, the present"
        " one included.",
        responses={
            200: ResponseSpec(SalesReportSchema, "The report. A sale is included a few seconds after its payment.")
        },
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.STATISTICS_READ,
    )
    async def read_sales_report(self, call: Call[None, SalesReportQuery]) -> Response:
        interval = call.query.interval
        since, until = _series_bounds(call.query, interval, self._market.clock.now())
        report = await self._dependencies.run_in_thread(
            self._market.queries.sales_report, call.identity.account_id, interval, since, until
        )
        return json_response(_to_sales_report_schema(report))

    @OperationSpec(
        method="GET",
        path=f"{ROOT}stock-outlook/",
        name="listStockOutlook",
        summary="List the caller's products whose stock runs out, the first ones first",
        description="Active products without stock, and those with stock that sold in the last 28 days.",
        responses={200: ResponseSpec(PageSchema[StockOutlookSchema], "Products by the days that their stock lasts.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.STATISTICS_READ,
    )
    async def list_stock_outlook(self, call: Call[None, StockOutlookQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        days, now = call.query.within_days, self._market.clock.now()
        page = await self._dependencies.run_in_thread(
            self._market.queries.stock_outlook,
            call.identity.account_id,
            now,
            page_request,
            within=LONGEST_OUTLOOK if days is None else timedelta(days=days),
        )
        return json_response(
            self._dependencies.paginator.to_schema(
                call.request, call.query, page, lambda each: _to_outlook_schema(each, now)
            )
        )

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
                **sold_fields(found.total, found.currency),
                product=found.product_id,
                currency=found.currency,
                seconds_out_of_stock=found.out_of_stock.total_seconds(),
                out_of_stock_since=found.out_of_stock_since,
                series=[_to_point_schema(point, found.currency) for point in points],
                prices=[_to_price_schema(each) for each in found.prices],
            )
        )


def _series_bounds(query: SeriesQuery, interval: Interval, now: datetime) -> tuple[datetime, datetime]:
    return series_range(interval, query.since, query.until, now)


def _to_sales_report_schema(report: SalesReport) -> SalesReportSchema:
    currency = report.currency
    return SalesReportSchema(
        currency=currency,
        interval=report.interval,
        starts_at=report.since,
        ends_at=report.until,
        previous_starts_at=report.previous_since,
        total=SoldSchema(**sold_fields(report.total, currency)),
        previous=SoldSchema(**sold_fields(report.previous, currency)),
        series=[_to_point_schema(point, currency) for point in report.points],
        top_products=[
            ProductSalesSchema(**sold_fields(top.sales, currency), product=top.id, name=top.name)
            for top in report.top_products
        ],
    )


def _to_outlook_schema(each: StockOutlook, now: datetime) -> StockOutlookSchema:
    return StockOutlookSchema(
        product=each.id,
        name=each.name,
        sku=each.sku,
        stock=each.available,
        reserved=each.reserved,
        sold=each.sold,
        days_in_stock=each.days_in_stock,
        units_a_day=each.units_a_day,
        days_left=each.days_left,
        runs_out_at=now + timedelta(minutes=each.minutes_left),
    )


def _to_point_schema(point: SeriesPoint, currency: str) -> PointSchema:
    return PointSchema(**sold_fields(point.sales, currency), start=point.start)


def _to_price_schema(each: SalesAtPrice) -> PriceStatisticsSchema:
    return PriceStatisticsSchema(
        **sold_fields(each.sales, each.price.currency),
        price=each.price.text,
        valid_from=each.valid_from,
        valid_to=each.valid_to,
        cause=each.cause,
        profit=None if each.profit is None else decimal_text(each.profit, each.price.currency),
    )
