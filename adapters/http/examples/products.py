"""Examples of `products/api/v1/`: search, products, statistics, stock, categories."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import asdict, replace

from adapters.http.examples.demo_market import (
    CURSOR,
    EARLIER,
    HOME_APPLIANCES,
    LONG_AGO,
    NEW_PRODUCT,
    NOW,
    PRODUCT,
    ROOT,
    STAFF,
    STAFF_ID,
)
from adapters.http.framework.example import Example
from adapters.http.framework.pagination import PageSchema
from adapters.http.resources.all_products import StaffProductSchema
from adapters.http.resources.categories import CategoryList
from adapters.http.resources.product_files import ImportedLineSchema, ProductImportSchema
from adapters.http.resources.search import FacetSchema, ProductPage
from adapters.http.resources.statistics import (
    PointSchema,
    PriceStatisticsSchema,
    ProductSalesSchema,
    ProductStatisticsSchema,
    SalesReportSchema,
    SellerStatsSeriesSchema,
    StockOutlookSchema,
)
from adapters.http.resources.stock import StockMovementSchema, StockSchema
from adapters.http.schemas.products import (
    CategoryRefSchema,
    CategorySchema,
    PriceHistorySchema,
    PriceIntervalSchema,
    ProductListSchema,
    ProductSchema,
    ReductionSchema,
    SellerSchema,
    TopProductSchema,
)
from adapters.http.schemas.sales import SoldSchema
from scalecommerce_core.domain.errors import Forbidden, Invalid
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries import Facet, Interval, SaleState
from scalecommerce_core.services.product_files.columns import EXPORTED, CsvWriter
from scalecommerce_core.services.product_files.importing import LineFate

_NOT_A_PRICE: Final = "Must be a decimal number with a point."
_NOT_YOURS: Final = Forbidden("Only its seller may change this product.")
_APPLIANCES: Final = CategoryRefSchema(HOME_APPLIANCES, "home_appliances")

_TOASTER: Final = ProductSchema(
    id=PRODUCT,
    name="Robust Toaster 915",
    brand="Ridgeway",
    price="264.99",
    currency="USD",
    description="Robust toaster by Ridgeway: a good present, made of recycled material.",
    category=_APPLIANCES,
    seller=SellerSchema(2, "George A.", "George", "Abara"),
    stock=49,
    is_active=True,
    created_at=LONG_AGO,
    count_viewed=311,
)
_OWN_TOASTER: Final = replace(
    _TOASTER,
    seller=SellerSchema(2, "George A.", "George", "Abara", "george.abara.2@seed-1.example"),
    price="259.90",
    sku="SEED1-0000001",
    cost="158.91",
    min_price="183.99",
    max_price="487.48",
    stock_until=None,
    competitor_price=None,
    competitor_price_at=None,
)
_TEAPOT: Final = {
    "name": "Blue teapot",
    "category_id": HOME_APPLIANCES,
    "price": "19.90",
    "stock": 30,
    "brand": "Kara",
    "description": "Holds a litre; for black and green tea.",
    "cost": "8.40",
    "min_price": "14.90",
    "max_price": "24.90",
    "stock_until": "2030-01-31T18:00:00Z",
    "competitor_price": "18.90",
    "competitor_price_at": "2026-01-31T18:00:00Z",
}
_ID: Final = {"id": PRODUCT}

_TODAY: Final = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
_WEEK: Final = SoldSchema(
    views=2_411,
    orders=31,
    units=44,
    revenue="10944.31",
    refunded_units=1,
    refunded_amount="264.99",
    conversion_rate=0.0129,
)
EXAMPLES: Final[Mapping[str, Example]] = {
    "searchProducts": Example(
        responses={
            200: ProductPage(
                next=f"{ROOT}/products/api/v1/?search=toaster&facets=category&page_size=1&cursor={CURSOR}",
                previous=None,
                results=[_TOASTER],
                total=3,
                total_is_exact=True,
                did_you_mean="toaster",
                facets={Facet.CATEGORY: [FacetSchema("home_appliances", 3, value="5")]},
                facets_are_exact=True,
            )
        },
    ),
    "listProduct": Example(
        body=_TEAPOT,
        alternatives={"Only what is required": {name: _TEAPOT[name] for name in ("name", "category_id", "price")}},
        responses={
            201: ProductSchema(
                id=NEW_PRODUCT,
                name="Blue teapot",
                brand="Kara",
                price="19.90",
                currency="USD",
                description="Holds a litre; for black and green tea.",
                category=_APPLIANCES,
                seller=SellerSchema(STAFF_ID, "Omar S.", "Omar", "Sexton", STAFF),
                stock=30,
                is_active=True,
                created_at=NOW,
                count_viewed=0,
                sku=None,
                cost="8.40",
                min_price="14.90",
                max_price="24.90",
                stock_until=datetime(2030, 1, 31, 18, tzinfo=UTC),
                competitor_price="18.90",
                competitor_price_at=datetime(2026, 1, 31, 18, tzinfo=UTC),
            )
        },
    ),
    "readProduct": Example(parameters=_ID, responses={200: _TOASTER}),
    "readProducts": Example(responses={200: ProductListSchema([_TOASTER])}),
    "listOwnProducts": Example(responses={200: PageSchema(None, None, [_TOASTER])}),
    "listAllProducts": Example(
        responses={
            200: PageSchema(
                None, None, [StaffProductSchema(replace(_OWN_TOASTER, is_active=False), SaleState.PAUSED, None)]
            )
        }
    ),
    "putProduct": Example(
        parameters=_ID,
        body={
            "name": _TOASTER.name,
            "category_id": HOME_APPLIANCES,
            "price": "259.90",
            "brand": _TOASTER.brand,
            "description": "Robust toaster by Ridgeway: for two slices, made of recycled material.",
        },
        responses={
            200: replace(
                _OWN_TOASTER, description="Robust toaster by Ridgeway: for two slices, made of recycled material."
            )
        },
        problems=[_NOT_YOURS],
    ),
    "patchProduct": Example(
        parameters=_ID,
        body={"price": "249.90"},
        responses={200: replace(_OWN_TOASTER, price="249.90")},
        invalid_body={"price": "249.905", "is_active": "yes"},
        problems=[_NOT_YOURS],
    ),
    "withdrawProduct": Example(parameters={"id": NEW_PRODUCT}, problems=[_NOT_YOURS]),
    "readPriceHistory": Example(
        parameters=_ID,
        responses={
            200: PriceHistorySchema(
                product=PRODUCT,
                currency="USD",
                lowest_price_30d="264.99",
                reduction=ReductionSchema(NOW, "264.99", NOW, "264.99"),
                intervals=[
                    PriceIntervalSchema("249.90", NOW, None, PriceCause.WITHDRAWAL),
                    PriceIntervalSchema(
                        "2.49",
                        NOW - timedelta(minutes=1),
                        NOW,
                        PriceCause.MANUAL,
                        is_withdrawn=True,
                        withdrawn_at=NOW,
                        withdrawn_by="seller",
                    ),
                    PriceIntervalSchema("264.99", LONG_AGO, NOW - timedelta(minutes=1), PriceCause.LISTED),
                ],
            )
        },
    ),
    "withdrawPrice": Example(
        parameters=_ID,
        body={"price": "249.90", "reason": "The decimal point was in the wrong place.", "new_price": "259.90"},
        responses={200: _OWN_TOASTER},
        invalid_body={"price": "249.905", "reason": ""},
        problems=[_NOT_YOURS],
    ),
    "importProducts": Example(
        body={
            "csv": "sku,name,category,price,stock\n"
            "TP-1,Iron Tea Pot,home_appliances,34.90,12\n"
            "TP-2,Glass Tea Pot,home_appliances,24.9o,8\n",
            "dry_run": True,
        },
        responses={
            200: ProductImportSchema(
                dry_run=True,
                lines=2,
                created=1,
                updated=0,
                unchanged=0,
                refused=1,
                results=[
                    ImportedLineSchema(2, "TP-1", LineFate.CREATED, None, [], {}),
                    ImportedLineSchema(3, "TP-2", LineFate.REFUSED, None, [], {"price": [_NOT_A_PRICE]}),
                ],
            )
        },
        problems=[Invalid.field("csv", "The file: Unknown columns: prize. Known columns: sku, name, category, price.")],
    ),
    "exportProducts": Example(responses={200: CsvWriter(EXPORTED).header()}),
    "readSellerStats": Example(
        responses={
            200: SellerStatsSeriesSchema(
                total_products=207,
                active_products=198,
                total_views=115_650,
                avg_views=558.7,
                total_revenue="609228.79",
                totat_sold=609_228.79,
                currency="USD",
                units_sold=6_516,
                orders=1_534,
                conversion_rate=0.0133,
                top_products=[TopProductSchema(410, "Travel Monitor 547", 124, "74646.76")],
            )
        },
    ),
    "readSalesReport": Example(
        responses={
            200: SalesReportSchema(
                currency="USD",
                interval=Interval.DAY,
                starts_at=_TODAY - timedelta(days=6),
                ends_at=_TODAY + timedelta(days=1),
                previous_starts_at=_TODAY - timedelta(days=13),
                total=_WEEK,
                previous=replace(_WEEK, views=2_208, orders=22, revenue="8130.04", conversion_rate=0.00996),
                series=[PointSchema(**asdict(_WEEK), start=_TODAY)],
                top_products=[
                    ProductSalesSchema(
                        views=412,
                        orders=6,
                        units=7,
                        revenue="4213.93",
                        refunded_units=0,
                        refunded_amount="0.00",
                        conversion_rate=0.0146,
                        product=410,
                        name="Travel Monitor 547",
                    )
                ],
            )
        },
    ),
    "listStockOutlook": Example(
        responses={
            200: PageSchema(
                None,
                None,
                [
                    StockOutlookSchema(
                        product=PRODUCT,
                        name="Robust Toaster 915",
                        sku="TOASTER-915",
                        stock=9,
                        reserved=2,
                        sold=21,
                        days_in_stock=24.5,
                        units_a_day=0.857,
                        days_left=10.5,
                        runs_out_at=NOW + timedelta(days=10, hours=12),
                    )
                ],
            )
        },
    ),
    "readProductStatistics": Example(
        parameters=_ID,
        responses={
            200: ProductStatisticsSchema(
                product=PRODUCT,
                currency="USD",
                views=311,
                orders=11,
                units=18,
                revenue="4769.82",
                refunded_units=1,
                refunded_amount="264.99",
                conversion_rate=0.0354,
                seconds_out_of_stock=0.0,
                out_of_stock_since=None,
                series=[
                    PointSchema(
                        views=12,
                        orders=1,
                        units=2,
                        revenue="529.98",
                        refunded_units=0,
                        refunded_amount="0.00",
                        conversion_rate=0.0833,
                        start=EARLIER.replace(hour=0, minute=0, second=0, microsecond=0),
                    )
                ],
                prices=[
                    PriceStatisticsSchema(
                        views=311,
                        orders=11,
                        units=18,
                        revenue="4769.82",
                        refunded_units=1,
                        refunded_amount="264.99",
                        conversion_rate=0.0354,
                        price="264.99",
                        valid_from=LONG_AGO,
                        valid_to=LONG_AGO + timedelta(days=200),
                        cause=PriceCause.POLICY,
                        profit="1803.36",
                    )
                ],
            )
        },
        problems=[Forbidden("Only the seller of the product and staff may read its statistics.")],
    ),
    "adjustStock": Example(
        parameters=_ID,
        body={"delta": 5},
        alternatives={"Set the stock, if it is still the one that was read": {"set": 40, "expected": 49}},
        responses={200: StockSchema(product=PRODUCT, stock=54, on_hand=56, reserved=2)},
        problems=[_NOT_YOURS, Invalid.field("delta", "Give either delta or set.")],
    ),
    "listStockMovements": Example(
        parameters=_ID,
        responses={
            200: PageSchema(
                None,
                None,
                [
                    StockMovementSchema(40_212, MovementKind.SALE, -2, on_hand=51, order=8, at=NOW),
                    StockMovementSchema(915, MovementKind.OPENING, 53, on_hand=53, order=None, at=LONG_AGO),
                ],
            )
        },
    ),
    "listCategories": Example(
        responses={
            200: CategoryList(
                None,
                None,
                [
                    CategorySchema(1, "electronics", "electronics", 0.0),
                    CategorySchema(HOME_APPLIANCES, "home_appliances", "home_appliances", 0.0),
                ],
            )
        },
    ),
    "addCategory": Example(
        body={"name": "Tea and coffee"},
        responses={201: CategorySchema(21, "Tea and coffee", "tea-and-coffee", 0.0)},
    ),
    "renameCategory": Example(
        parameters={"id": HOME_APPLIANCES},
        body={"name": "Home appliances"},
        responses={200: CategorySchema(HOME_APPLIANCES, "Home appliances", "home_appliances", 0.0)},
        problems=[Invalid.field("name", "A category with this name exists already.")],
    ),
    "patchCategory": Example(
        parameters={"id": HOME_APPLIANCES},
        body={"min_hold_days": 1},
        responses={200: CategorySchema(HOME_APPLIANCES, "home_appliances", "home_appliances", 1.0)},
        invalid_body={"min_hold_days": -1},
        problems=[Invalid.field("min_hold_days", "This must be at least 0.")],
    ),
}
