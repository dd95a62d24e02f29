"""Statistics of a seller: totals and time series of all their products, and of each at each of its prices."""

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
from scalecommerce_core.domain.errors import Forbidden, Invalid, NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.ranges import check_ranges
from scalecommerce_core.queries import Interval, SalesAtPrice, SalesFigures, SeriesPoint

INTERVAL_LENGTH: Final = {Interval.HOUR: timedelta(hours=1), Interval.DAY: timedelta(days=1)}
MAX_POINTS: Final = 1_000
"""Of one series, empty ones (which are left out) included."""
DEFAULT_POINTS: Final = {Interval.HOUR: 48, Interval.DAY: 30}
"""Points, where nobody says from when."""


class SeriesQuery(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    since: Annotated[
        Moment | None,
        msgspec.Meta(
            description="The first point is the first whole hour or day (UTC) from then on: 48 hours or 30 days before"
            " `to`, unless given.",
            examples=["2026-11-01T00:00:00Z"],
        ),
    ] = None
    until: Annotated[
        Moment | None,
        msgspec.Meta(
            description="The last point begins before then, and counts its whole hour or day: now, unless given.",
            examples=["2026-12-01T00:00:00Z"],
        ),
    ] = None

    def __post_init__(self) -> None:
        check_ranges(("from", self.since, "to", self.until))


class SellerStatsQuery(SeriesQuery, frozen=True):
    series: Annotated[
        Interval | None, msgspec.Meta(description="Also a time series in `currency`, by hours or days (UTC).")
    ] = None

    def __post_init__(self) -> None:
        """Bounds apply to the series only, so refuse them without one instead of ignoring them."""
        bounds = [name for name, at in (("from", self.since), ("to", self.until)) if at is not None]
        if self.series is None and bounds:
            raise Invalid({name: ["This applies to a series only: add series=hour or series=day."] for name in bounds})
        SeriesQuery.__post_init__(self)


class ProductStatisticsQuery(SeriesQuery, frozen=True):
    interval: Annotated[Interval, msgspec.Meta(description="Of the points of the series (UTC).")] = Interval.DAY


class SoldSchema(msgspec.Struct):
    """`units` and `revenue` include what was refunded; `conversion_rate` is orders per view."""

    views: int
    orders: int
    units: int
    revenue: str
    refunded_units: int
    refunded_amount: str
    conversion_rate: float


class PointSchema(SoldSchema):
    """Sales by the time of their payment, refunds by their own; `start` begins an hour or a day of UTC."""

    start: datetime


class SellerStatsSeriesSchema(SellerStatsSchema, kw_only=True):
    series: list[PointSchema] | UnsetType = UNSET


class PriceStatisticsSchema(SoldSchema):
    """What was ordered while this price was in force. `profit` is after refunds, at today's cost; null: not known."""

    price: str
    valid_from: datetime
    valid_to: datetime | None
    cause: PriceCause
    profit: str | None


class ProductStatisticsSchema(SoldSchema):
    """All-time figures, a series, and what each price brought, the newest first."""

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
        summary="Figures of the caller's own products",
        responses={200: ResponseSpec(SellerStatsSeriesSchema, "A sale counts when PAID, a few seconds later.")},
        tag=TAG,
        access=Access.ACCOUNT,
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
        summary="What was viewed and sold of a product, when, and at which price",
        description="For its seller and staff.",
        responses={200: ResponseSpec(ProductStatisticsSchema, "A sale counts when PAID, a few seconds later.")},
        tag=TAG,
        access=Access.ACCOUNT,
        errors=(Forbidden,),
    )
    async def read_product_statistics(self, call: Call[None, ProductStatisticsQuery]) -> Response:
        view = await self._dependencies.load_product.submit(ProductId(call.id))
        if not may_see_private_fields(view, call.identity):
            if not view.is_active:
                raise NotFound("product", call.id)
            raise Forbidden("Only its seller and staff may see this.")
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
    """Bounds of the points' beginnings; raise `Invalid` for a reversed span and for more than `POINTS`."""
    length = INTERVAL_LENGTH[interval]
    try:
        until = (query.until or interval.begin(now) + length).astimezone(UTC)
        since = (query.since or until - DEFAULT_POINTS[interval] * length).astimezone(UTC)
    except OverflowError:
        raise Invalid.field("from", "Times lie in years that a calendar has.") from None
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
