"""`queries.Queries` on PostgreSQL: plain selects of exactly what is shown, no aggregates, no locks."""

from sqlalchemy import Engine

from adapters.db.queries.accounts import AccountReads
from adapters.db.queries.events import EventReads
from adapters.db.queries.executor import Reader
from adapters.db.queries.exports import ExportReads
from adapters.db.queries.ledger_audit import StockReads
from adapters.db.queries.pricing import PricingReads
from adapters.db.queries.products import ProductReads
from adapters.db.queries.search.search_pages import Scale
from adapters.db.queries.statistics import StatisticsReads
from adapters.db.queries.webhooks import WebhookReads


class PostgresQueries(AccountReads, ExportReads, StockReads, EventReads, StatisticsReads, WebhookReads, PricingReads):
    """`currency` is the market's: of price facets, and of statistics without a sale. `scale` bounds a search's work."""

    def __init__(self, engine: Engine, *, currency: str = "USD", scale: Scale | None = None) -> None:
        reader = Reader(engine)
        ProductReads.__init__(self, reader, scale, currency)
        StatisticsReads.__init__(self, reader, currency)
