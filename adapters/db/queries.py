"""`queries.Queries` on PostgreSQL: plain selects of exactly what is shown, no aggregates, no locks."""

from sqlalchemy import Engine

from adapters.db.reads.accounts import AccountReads
from adapters.db.reads.books import StockReads
from adapters.db.reads.events import EventReads
from adapters.db.reads.exports import ExportReads
from adapters.db.reads.listing import Scale
from adapters.db.reads.pricing import PricingReads
from adapters.db.reads.products import ProductReads
from adapters.db.reads.reader import Reader
from adapters.db.reads.statistics import StatisticsReads
from adapters.db.reads.webhooks import WebhookReads


class PostgresQueries(AccountReads, ExportReads, StockReads, EventReads, StatisticsReads, WebhookReads, PricingReads):
    """`currency` is the market's: of price facets, and of statistics without a sale. `scale` bounds a search's work."""

    def __init__(self, engine: Engine, *, currency: str = "USD", scale: Scale | None = None) -> None:
        reader = Reader(engine)
        ProductReads.__init__(self, reader, scale, currency)
        StatisticsReads.__init__(self, reader, currency)
