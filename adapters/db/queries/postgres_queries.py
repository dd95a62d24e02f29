"""`queries.Queries` on PostgreSQL: plain selects of the columns of the views, without aggregates and locks."""

from sqlalchemy import Engine

from adapters.db.queries.accounts import AccountQueries
from adapters.db.queries.all_orders import AllOrderQueries
from adapters.db.queries.archive import ArchiveQueries
from adapters.db.queries.audit import AuditQueries
from adapters.db.queries.events import EventQueries
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.experiments import ExperimentQueries
from adapters.db.queries.exports import ExportQueries
from adapters.db.queries.ledger_audit import StockQueries
from adapters.db.queries.operations import OperationsQueries
from adapters.db.queries.pricing import PricingQueries
from adapters.db.queries.products import ProductQueries
from adapters.db.queries.promotions import PromotionQueries
from adapters.db.queries.search.index.execution import CurrentIndex
from adapters.db.queries.search.limits import SearchLimits
from adapters.db.queries.sessions import SessionQueries
from adapters.db.queries.statistics import StatisticsQueries
from adapters.db.queries.webhooks import WebhookQueries


class PostgresQueries(
    AccountQueries,
    SessionQueries,
    ExportQueries,
    StockQueries,
    EventQueries,
    StatisticsQueries,
    WebhookQueries,
    PricingQueries,
    PromotionQueries,
    ExperimentQueries,
    AuditQueries,
    OperationsQueries,
    AllOrderQueries,
    ArchiveQueries,
):
    """All queries. `currency` is the market's: of price facets, and of sellers without a sale or a product."""

    def __init__(
        self,
        engine: Engine,
        *,
        currency: str = "USD",
        limits: SearchLimits | None = None,
        index: CurrentIndex | None = None,
    ) -> None:
        executor = QueryExecutor(engine)
        ProductQueries.__init__(self, executor, limits, currency, index)
        StatisticsQueries.__init__(self, executor, currency)
