"""The read side: immutable views, and the query ports that return them without loading aggregates or taking locks."""

from scalecommerce_core.queries.accounts import AccountQueries, AccountView
from scalecommerce_core.queries.all import Queries
from scalecommerce_core.queries.events import EventQueries, FeedEvent, FeedPage, check_feed_position
from scalecommerce_core.queries.exports import ExportQueries
from scalecommerce_core.queries.orders import OrderLineView, OrderQueries, OrderView, SaleView
from scalecommerce_core.queries.pagination import Key, Page, PageRequest, Row_co
from scalecommerce_core.queries.pricing import PricingQueries
from scalecommerce_core.queries.products import (
    FACET_CAP,
    MAX_FACET_VALUES,
    PRICE_BUCKETS,
    CategoryRef,
    Facet,
    FacetCounts,
    FacetValue,
    PriceHistory,
    PriceInterval,
    ProductFilter,
    ProductQueries,
    ProductSearchPage,
    ProductView,
    SellerRef,
    SortOrder,
    bucket_label,
)
from scalecommerce_core.queries.sessions import SessionQueries, SessionState
from scalecommerce_core.queries.statistics import (
    MAX_PRICES,
    Interval,
    ProductStatistics,
    SalesAtPrice,
    SalesFigures,
    SellerStats,
    SeriesPoint,
    StatisticsDiscrepancy,
    StatisticsQueries,
    TopProduct,
)
from scalecommerce_core.queries.stock_audit import MovementTotal, StockDiscrepancy, StockQueries
from scalecommerce_core.queries.webhooks import MAX_ATTEMPTS, AttemptView, DeliveryView, EndpointView, WebhookQueries

__all__ = [
    "FACET_CAP",
    "MAX_ATTEMPTS",
    "MAX_FACET_VALUES",
    "MAX_PRICES",
    "PRICE_BUCKETS",
    "AccountQueries",
    "AccountView",
    "AttemptView",
    "CategoryRef",
    "DeliveryView",
    "EndpointView",
    "EventQueries",
    "ExportQueries",
    "Facet",
    "FacetCounts",
    "FacetValue",
    "FeedEvent",
    "FeedPage",
    "Interval",
    "Key",
    "MovementTotal",
    "OrderLineView",
    "OrderQueries",
    "OrderView",
    "Page",
    "PageRequest",
    "PriceHistory",
    "PriceInterval",
    "PricingQueries",
    "ProductFilter",
    "ProductQueries",
    "ProductSearchPage",
    "ProductStatistics",
    "ProductView",
    "Queries",
    "Row_co",
    "SaleView",
    "SalesAtPrice",
    "SalesFigures",
    "SellerRef",
    "SellerStats",
    "SeriesPoint",
    "SessionQueries",
    "SessionState",
    "SortOrder",
    "StatisticsDiscrepancy",
    "StatisticsQueries",
    "StockDiscrepancy",
    "StockQueries",
    "TopProduct",
    "WebhookQueries",
    "bucket_label",
    "check_feed_position",
]
