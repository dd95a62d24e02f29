"""`queries.Queries` on PostgreSQL: plain selects of exactly what is shown, no aggregates, no locks."""

from sqlalchemy import Engine

from adapters.db.queries.accounts import AccountQueries
from adapters.db.queries.events import EventQueries
from adapters.db.queries.executor import Reader
from adapters.db.queries.exports import ExportQueries
from adapters.db.queries.ledger_audit import StockQueries
from adapters.db.queries.pricing import PricingQueries
from adapters.db.queries.products import ProductQueries
from adapters.db.queries.search.search_pages import Scale
from adapters.db.queries.statistics import StatisticsQueries
from adapters.db.queries.webhooks import WebhookQueries


class PostgresQueries(
    AccountQueries, ExportQueries, StockQueries, EventQueries, StatisticsQueries, WebhookQueries, PricingQueries
):
    """`currency` is the market's: of price facets, and of statistics without a sale. `scale` bounds a search's work."""

    def __init__(self, engine: Engine, *, currency: str = "USD", scale: Scale | None = None) -> None:
        reader = Reader(engine)
        ProductQueries.__init__(self, reader, scale, currency)
        StatisticsQueries.__init__(self, reader, currency)
