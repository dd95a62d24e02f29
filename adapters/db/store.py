"""`ports.Store` on PostgreSQL: every load locks its rows in order, every save is one statement per table."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, text

from adapters.db.core.errors import translated
from adapters.db.core.session import Sql
from adapters.db.core.write_behind import write_behind
from adapters.db.repositories.accounts import Accounts, Sessions
from adapters.db.repositories.events import Events
from adapters.db.repositories.idempotency import IdempotencyKeys
from adapters.db.repositories.orders import Orders
from adapters.db.repositories.payments import PaymentRows
from adapters.db.repositories.policies import Policies
from adapters.db.repositories.pricing_runs import PricingRuns
from adapters.db.repositories.products import Categories, Products
from adapters.db.repositories.search import SearchRows
from adapters.db.repositories.statistics import StatisticsRows
from adapters.db.repositories.stock import Stocks
from adapters.db.repositories.webhooks import Deliveries, Endpoints
from scalecommerce_core.ports import CatalogChange, Transaction

BULK_LOCK_TIMEOUT: Final = timedelta(minutes=1)
"""An import waits for buyers rather than fail."""
GROWN: Final = 0.2
"""The statistics of a table are made anew when this part of it came in at once, as autovacuum would do later."""
_ROWS_KNOWN: Final = text(
    "SELECT relname, greatest(reltuples, 0) FROM pg_class WHERE oid = ANY (CAST(:tables AS regclass[]))"
)


class PostgresStore:
    """How long a transaction waits for others that hold a row is told to the engine."""

    def __init__(self, engine: Engine, changed: Callable[[CatalogChange], None] = lambda _: None) -> None:
        """`changed` is told of each change of the catalogue once it is committed, before whoever made it knows."""
        self._engine = engine
        self._changed = changed

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        with translated(self._engine), self._engine.begin() as connection:
            sql = Sql(connection)
            yield PostgresTransaction(sql)
            change = sql.commit()
        if change is not None:
            self._changed(change)

    @contextmanager
    def bulk(self) -> Iterator[Transaction]:
        with translated(self._engine), self._engine.begin() as connection:
            connection.exec_driver_sql(
                f"SET LOCAL lock_timeout = {_milliseconds(BULK_LOCK_TIMEOUT)}; SET LOCAL statement_timeout = 0"
            )
            # Inside the transaction's block, so that every write is done before the commit.
            with write_behind() as behind:
                sql = Sql(connection, behind)
                yield PostgresTransaction(sql)
                change = sql.tell()
        if change is not None:
            self._changed(change)
        self._analyze(sql.copied)

    def _analyze(self, copied: Mapping[str, int]) -> None:
        """Let the planner know of tables that have grown much: autovacuum would tell it a minute later, and until
        then every query would be planned for the few rows that there were.
        """
        with (
            translated(self._engine),
            self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            for table, rows in connection.execute(_ROWS_KNOWN, {"tables": list(copied)}).all():
                if copied[table] > GROWN * rows:
                    # Whoever has it locked (autovacuum, a migration) will see to it.
                    connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {table}")


class PostgresTransaction:
    def __init__(self, sql: Sql) -> None:
        self.accounts = Accounts(sql)
        self.sessions = Sessions(sql)
        self.categories = Categories(sql)
        self.products = Products(sql)
        self.stock = Stocks(sql)
        self.orders = Orders(sql)
        self.payments = PaymentRows(sql)
        self.policies = Policies(sql)
        self.runs = PricingRuns(sql)
        self.idempotency = IdempotencyKeys(sql)
        self.events = Events(sql)
        self.webhooks = Endpoints(sql)
        self.deliveries = Deliveries(sql)
        self.statistics = StatisticsRows(sql)
        self.search = SearchRows(sql)


def _milliseconds(timeout: timedelta) -> int:
    return round(timeout.total_seconds() * 1000)
