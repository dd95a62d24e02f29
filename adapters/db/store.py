"""`ports.Store` on PostgreSQL: rows are locked in key order, and each save is one statement for each table."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, text

from adapters.db.core.errors import translate_errors
from adapters.db.core.session import SqlSession
from adapters.db.core.write_behind import open_write_behind_queue
from adapters.db.repositories.accounts import (
    PostgresAccountRepository,
    PostgresAccountTokenRepository,
    PostgresSecondFactorRepository,
    PostgresSessionRepository,
)
from adapters.db.repositories.api_keys import PostgresApiKeyRepository
from adapters.db.repositories.audit import PostgresAuditRepository
from adapters.db.repositories.emails import PostgresEmailRepository
from adapters.db.repositories.events import PostgresEventRepository
from adapters.db.repositories.experiments import PostgresExperimentRepository
from adapters.db.repositories.idempotency import PostgresIdempotencyRepository
from adapters.db.repositories.order_traces import OrderTraces
from adapters.db.repositories.orders import PostgresOrderRepository
from adapters.db.repositories.payments import PostgresPaymentRepository
from adapters.db.repositories.policies import PostgresPolicyRepository
from adapters.db.repositories.pricing_runs import PostgresRunRepository
from adapters.db.repositories.products import PostgresCategoryRepository, PostgresProductRepository
from adapters.db.repositories.promotions import PostgresPromotionRepository
from adapters.db.repositories.search import PostgresSearchRepository
from adapters.db.repositories.statistics import PostgresStatisticsRepository
from adapters.db.repositories.stock import PostgresStockRepository
from adapters.db.repositories.webhooks import PostgresDeliveryRepository, PostgresWebhookRepository
from scalecommerce_core.ports import AccessChange, CatalogChange, Tracing, Transaction, commit_in_time

BULK_LOCK_TIMEOUT: Final = timedelta(minutes=1)
"""Bulk transactions (imports) wait longer for row locks of other transactions."""
ANALYZE_GROWTH: Final = 0.2
"""A bulk transaction that grew a table by more than this share analyzes it, as autovacuum would do later."""
_ESTIMATED_ROWS: Final = text(
    "SELECT relname, greatest(reltuples, 0) FROM pg_class WHERE oid = ANY (CAST(:tables AS regclass[]))"
)


class PostgresStore:
    """The engine of `database_engine` has the timeouts for locks and statements."""

    def __init__(
        self,
        engine: Engine,
        on_change: Callable[[CatalogChange], None] = lambda _: None,
        on_access_change: Callable[[AccessChange], None] = lambda _: None,
        tracing: Tracing | None = None,
    ) -> None:
        """The functions are called with each committed change of the catalog or of access, before the use case
        continues. With `tracing`, the trace contexts of orders are stored until their decision.
        """
        self._tracing = tracing
        self._engine = engine
        self._on_change = on_change
        self._on_access_change = on_access_change

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        with commit_in_time() as begin_commit, translate_errors(self._engine), self._engine.begin() as connection:
            sql = SqlSession(connection)
            yield PostgresTransaction(sql, self._tracing)
            begin_commit()
            change = sql.commit()
        self._report(sql, change)

    @contextmanager
    def bulk(self) -> Iterator[Transaction]:
        with commit_in_time() as begin_commit, translate_errors(self._engine), self._engine.begin() as connection:
            connection.exec_driver_sql(
                f"SET LOCAL lock_timeout = {_milliseconds(BULK_LOCK_TIMEOUT)}; SET LOCAL statement_timeout = 0;"
                " SET LOCAL idle_in_transaction_session_timeout = 0"
            )
            # Inside the transaction, so that all writes are complete before the commit.
            with open_write_behind_queue() as write_behind:
                sql = SqlSession(connection, write_behind)
                yield PostgresTransaction(sql, self._tracing)
                change = sql.log_changes()
            begin_commit()
        self._report(sql, change)
        self._analyze(sql.copied_rows)

    def _report(self, sql: SqlSession, change: CatalogChange | None) -> None:
        if (access := sql.pending_changes.to_access_change()) is not None:
            self._on_access_change(access)
        if change is not None and not sql.pending_changes.by_decision:
            self._on_change(change)

    def _analyze(self, copied: Mapping[str, int]) -> None:
        """Update the planner's statistics of tables that have grown much.

        Autovacuum would do it only after about a minute; until then, plans would be made for the former sizes. A
        pooler of transactions keeps the search path only in transactions, so each table is analyzed in one.
        """
        with translate_errors(self._engine), self._engine.connect() as connection:
            for table, rows in connection.execute(_ESTIMATED_ROWS, {"tables": list(copied)}).all():
                if copied[table] > ANALYZE_GROWTH * rows:
                    # A session that has the table locked (autovacuum, a migration) analyzes it itself.
                    connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {table}")
                    connection.commit()


class PostgresTransaction:
    """`ports.Transaction` on one connection."""

    def __init__(self, sql: SqlSession, tracing: Tracing | None = None) -> None:
        self.accounts = PostgresAccountRepository(sql)
        self.sessions = PostgresSessionRepository(sql)
        self.account_tokens = PostgresAccountTokenRepository(sql)
        self.emails = PostgresEmailRepository(sql)
        self.second_factors = PostgresSecondFactorRepository(sql)
        self.api_keys = PostgresApiKeyRepository(sql)
        self.categories = PostgresCategoryRepository(sql)
        self.products = PostgresProductRepository(sql)
        self.stock = PostgresStockRepository(sql)
        self.orders = PostgresOrderRepository(sql, None if tracing is None else OrderTraces(sql, tracing))
        self.payments = PostgresPaymentRepository(sql)
        self.policies = PostgresPolicyRepository(sql)
        self.runs = PostgresRunRepository(sql)
        self.promotions = PostgresPromotionRepository(sql)
        self.experiments = PostgresExperimentRepository(sql)
        self.idempotency = PostgresIdempotencyRepository(sql)
        self.events = PostgresEventRepository(sql)
        self.webhooks = PostgresWebhookRepository(sql)
        self.deliveries = PostgresDeliveryRepository(sql)
        self.statistics = PostgresStatisticsRepository(sql)
        self.search = PostgresSearchRepository(sql)
        self.audit = PostgresAuditRepository(sql)


def _milliseconds(timeout: timedelta) -> int:
    return round(timeout.total_seconds() * 1000)
