"""The contract suites on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.schema import categories, metadata
from adapters.db.store import PostgresStore
from adapters.payments.sandbox import SandboxGateway
from scalecommerce_core.domain.category import DEFAULT_CATEGORIES
from scalecommerce_core.ports import AccessChange, CatalogChange, PaymentGateway, Store
from scalecommerce_core.queries import Queries
from scalecommerce_core.testing import LockOrderStore
from scalecommerce_core.testing.contracts import (
    CatalogChangesContract,
    PaymentGatewayContract,
    QueriesContract,
    StoreContract,
)
from tests.integration.eager_index import EagerIndex


@pytest.fixture(scope="module")
def engine(make_database: Callable[[], str]) -> Iterator[Engine]:
    """One database for all tests of this module, because creating one takes most of the time of a test."""
    engine = database_engine(make_database())
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            default = categories.c.id <= len(DEFAULT_CATEGORIES)
            connection.execute(table.delete().where(~default) if table is categories else table.delete())
    return LockOrderStore(PostgresStore(engine))


class TestPostgresStore(StoreContract):
    pass


class TestPostgresQueries(QueriesContract):
    @pytest.fixture
    def queries(self, engine: Engine) -> Queries:
        return PostgresQueries(engine)


class TestQueriesWithSearchIndex(QueriesContract):
    @pytest.fixture
    def queries(self, engine: Engine, tmp_path: Path) -> Queries:
        return PostgresQueries(engine, index=EagerIndex(engine, tmp_path / "index"))


class TestPostgresChanges(CatalogChangesContract):
    @pytest.fixture
    def reported(self) -> list[CatalogChange]:
        return []

    @pytest.fixture
    def access_reported(self) -> list[AccessChange]:
        return []

    @pytest.fixture
    def store(
        self,
        engine: Engine,
        store: Store,  # noqa: ARG002 - it empties the tables
        reported: list[CatalogChange],
        access_reported: list[AccessChange],
    ) -> Store:
        return PostgresStore(engine, reported.append, access_reported.append)

    @pytest.fixture
    def queries(self, engine: Engine) -> Queries:
        return PostgresQueries(engine)


class TestSandboxGateway(PaymentGatewayContract):
    @pytest.fixture
    def gateway(self, engine: Engine) -> PaymentGateway:
        return SandboxGateway(engine)
