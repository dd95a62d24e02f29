"""The read side: immutable views, and the query ports that return them without loading aggregates or taking locks."""

from scalecommerce_core.queries.accounts import (
    ACTIVE_ACCOUNTS,
    AccountDetails,
    AccountFilter,
    AccountQueries,
    AccountView,
)
from scalecommerce_core.queries.all import Queries
from scalecommerce_core.queries.audit import ALL_ENTRIES, AuditFilter, AuditQueries
from scalecommerce_core.queries.events import EventQueries, FeedEvent, FeedPage, check_feed_position
from scalecommerce_core.queries.experiments import ExperimentQueries
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
from scalecommerce_core.queries.promotions import PromotionQueries
from scalecommerce_core.queries.sessions import MAX_SESSIONS, ApiKeyState, SessionQueries, SessionState, SessionView
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
    "ACTIVE_ACCOUNTS",
    "ALL_ENTRIES",
    "FACET_CAP",
    "MAX_ATTEMPTS",
    "MAX_FACET_VALUES",
    "MAX_PRICES",
    "MAX_SESSIONS",
    "PRICE_BUCKETS",
    "AccountDetails",
    "AccountFilter",
    "AccountQueries",
    "AccountView",
    "ApiKeyState",
    "AttemptView",
    "AuditFilter",
    "AuditQueries",
    "CategoryRef",
    "DeliveryView",
    "EndpointView",
    "EventQueries",
    "ExperimentQueries",
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
    "PromotionQueries",
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
    "SessionView",
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
