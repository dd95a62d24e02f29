"""All query ports as one protocol."""

from typing import Protocol

from scalecommerce_core.queries.accounts import AccountQueries
from scalecommerce_core.queries.archive import ArchiveQueries
from scalecommerce_core.queries.audit import AuditQueries
from scalecommerce_core.queries.events import EventQueries
from scalecommerce_core.queries.experiments import ExperimentQueries
from scalecommerce_core.queries.exports import ExportQueries
from scalecommerce_core.queries.operations import OperationsQueries
from scalecommerce_core.queries.orders import OrderQueries
from scalecommerce_core.queries.pricing import PricingQueries
from scalecommerce_core.queries.products import ProductQueries
from scalecommerce_core.queries.promotions import PromotionQueries
from scalecommerce_core.queries.sessions import SessionQueries
from scalecommerce_core.queries.statistics import StatisticsQueries
from scalecommerce_core.queries.stock_audit import StockQueries
from scalecommerce_core.queries.webhooks import WebhookQueries


class Queries(
    AccountQueries,
    SessionQueries,
    ProductQueries,
    OrderQueries,
    OperationsQueries,
    StatisticsQueries,
    StockQueries,
    EventQueries,
    WebhookQueries,
    PricingQueries,
    PromotionQueries,
    ExperimentQueries,
    ExportQueries,
    AuditQueries,
    ArchiveQueries,
    Protocol,
):
    """The whole read side; an adapter implements it in one class."""
