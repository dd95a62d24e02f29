"""The archive on a real database: kills between its steps, damage that the audit finds, plans of its reads."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from adapters.db import migrate
from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.schema_version import VERSIONS
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage
from tests.integration.real_market import real_market
from tests.integration.recorded_statements import recorded_statements
from tests.integration.test_db_statements import nodes

ORDERS: Final = 7
REVISION: Final = "0066"
"""The revision that adds the archive."""
ORPHAN_REFUND: Final = """
    INSERT INTO archived_refunds (id, order_id, position, quantity, amount, restocked, occurred_at)
    VALUES (1, 999, 1, 1, 1, false, now())
"""
ORPHAN_PAYMENT_REFUND: Final = """
    INSERT INTO archived_payment_refunds
        (id, payment_id, reference, amount, currency, created_at, status, try_at, tries, done_at)
    VALUES (gen_random_uuid(), gen_random_uuid(), '', 1, 'USD', now(), 'DONE', now(), 1, now())
"""
PROGRAM = """
import os
from entrypoints.settings import load
from entrypoints.wiring import wire
engine = wire(load(), "worker")
while engine.market.archiving.archive(2):
    pass
engine.close()
"""


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def queries(engine: Engine) -> PostgresQueries:
    return PostgresQueries(engine)


def fill(url: str) -> AccountId:
    """Add paid orders of one buyer, long ago; return the buyer."""
    with real_market(url) as market:
        stage = Stage(market.store)
        buyer, product = stage.account(), stage.product(stock=100)
        for number in range(ORDERS):
            stage.order(buyer, {product: 1 + number}, OrderStatus.PAID, at=NOW - timedelta(days=300 + number))
    return buyer


def run_archiver(url: str, redis_url: str, failpoints: str) -> int:
    environment = os.environ | {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "JWT_SECRET": "s" * 32,
        "ORDERS_HOT_DAYS": "90",
        "FAILPOINTS": failpoints,
    }
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert process.returncode == 0 or "killed" in process.stderr, process.stderr
    return process.returncode


@pytest.mark.parametrize(
    ("failpoints", "archived"),
    [
        ("orders.archive:before@2", 2),
        ("orders.archive:after@2", 2),
        ("commit:before@3", 4),
        ("commit:after@3", 6),
    ],
)
def test_a_killed_archiver_loses_and_doubles_nothing(
    database: str, queries: PostgresQueries, redis_url: str, failpoints: str, archived: int
) -> None:
    buyer = fill(database)
    before = list(queries.iter_orders())
    assert run_archiver(database, redis_url, failpoints) == -9

    def check(archived: int) -> None:
        assert list(queries.iter_orders()) == before
        assert len(before) == ORDERS
        assert {view.user for view in before} == {buyer}
        assert len(list(queries.iter_archived_orders())) == archived
        assert sum(month.orders for month in queries.archived_months()) == archived
        assert list(queries.archive_discrepancies()) == []
        assert list(queries.stock_discrepancies()) == []

    check(archived)
    assert run_archiver(database, redis_url, "") == 0
    check(ORDERS)


def damage(url: str, statement: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("statement", "figures"),
    [
        ("UPDATE archived_order_lines SET price = price + 1 WHERE order_id = 1", {"checksum", "amount"}),
        ("UPDATE archived_orders SET buyer_id = buyer_id + 1 WHERE id = 1", {"checksum"}),
        ("UPDATE archived_stock_movements SET quantity = quantity - 1 WHERE order_id = 1", {"checksum", "units"}),
        ("DELETE FROM archived_orders WHERE id = 1", {"orders", "units", "amount", "checksums", "orphans"}),
        (ORPHAN_REFUND, {"orphans"}),
        (ORPHAN_PAYMENT_REFUND, {"orphans"}),
        ("UPDATE archived_stock SET units = units + 1", {"units"}),
        ("DELETE FROM archived_months", {"orders", "units", "amount", "checksums"}),
    ],
)
def test_the_audit_finds_damaged_rows(
    database: str, queries: PostgresQueries, statement: str, figures: set[str]
) -> None:
    fill(database)
    with real_market(database) as market, market.store.begin() as tx:
        assert tx.orders.archive(100, NOW) == ORDERS
    assert list(queries.archive_discrepancies()) == []
    damage(database, statement)
    assert {each.figure for each in queries.archive_discrepancies()} == figures


def test_hot_and_archived_rows_have_the_same_columns(database: str) -> None:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        columns: dict[str, set[tuple[str, str, bool]]] = {}
        for table, *column in connection.execute(
            """
            SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped AND relnamespace = 'public'::regnamespace
            """
        ):
            columns.setdefault(table, set()).add(tuple(column))
    for hot in ("orders", "order_lines", "refunds", "payments", "payment_refunds", "stock_movements"):
        more = {("checksum", "bigint", True)} if hot == "orders" else set()
        assert columns[f"archived_{hot}"] == columns[hot] | more


def test_lines_are_read_from_the_table_of_their_order(database: str, engine: Engine, queries: PostgresQueries) -> None:
    buyer, archived = fill(database), 3
    with PostgresStore(engine).begin() as tx:
        assert tx.orders.archive(archived, NOW) == archived
    with recorded_statements() as statements:
        page = queries.orders_of_buyer(buyer, PageRequest(ORDERS))
    assert [len(order.lines) for order in page.rows] == [1] * ORDERS
    ((statement, parameters),) = statements
    with engine.connect() as connection:
        (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).one()
    scans = {node.get("Relation Name"): node["Actual Loops"] for node in nodes(plan[0]["Plan"])}
    assert (scans["order_lines"], scans["archived_order_lines"]) == (ORDERS - archived, archived)


def test_a_downgrade_moves_archived_orders_back(database: str, engine: Engine, queries: PostgresQueries) -> None:
    fill(database)
    before = list(queries.iter_orders())
    with real_market(database) as market, market.store.begin() as tx:
        assert tx.orders.archive(4, NOW + SECOND) == 4
    before_archive = ScriptDirectory(str(VERSIONS.parent)).get_revision(REVISION).down_revision
    assert isinstance(before_archive, str)
    with engine.begin() as connection:
        migrate.migrate_to(connection, before_archive)
    migrate.upgrade(database)
    assert list(queries.iter_archived_orders()) == []
    assert list(queries.iter_orders()) == before
    assert list(queries.stock_discrepancies()) == []
