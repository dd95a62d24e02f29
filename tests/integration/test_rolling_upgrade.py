"""Two releases run side by side while one replaces the other."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import uuid4

import pytest
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from adapters.db import migrate
from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.schema import metadata
from adapters.db.schema_version import VERSIONS, release_revisions
from adapters.db.store import PostgresStore
from adapters.system import RandomIds, SystemClock
from scalecommerce_core.domain.errors import SchemaMismatch
from scalecommerce_core.domain.identifiers import CommandId
from scalecommerce_core.domain.order import Order
from scalecommerce_core.services.order_lines import OrderLineRequest
from scalecommerce_core.services.ordering import Ordering, PlaceOrder
from scalecommerce_core.services.outbox_relay import OutboxRelay
from scalecommerce_core.services.payments import Payments, PayOrder
from scalecommerce_core.services.statistics import Statistics
from scalecommerce_core.testing import MemoryGateway
from scalecommerce_core.testing.contracts.stage import Stage
from tests.integration.contracting_statements import blocking, contracting
from tests.integration.engine_process import PATIENCE, eventually
from tests.integration.recorded_statements import recorded_statements

# --- migrations


FIRST: Final = "0053"
"""The revision since which releases can run beside a newer one."""


def test_a_migration_that_breaks_earlier_code_declares_compatible_since(empty_database: str) -> None:
    """Any later migration may build indexes only if an operator can build them in advance.

    A column, for example, is dropped one release after the code stopped using it: `compatible_since` is then the
    revision of the release that stopped. CONTRIBUTING.md describes the steps.
    """
    scripts = {script.revision: script.module for script in ScriptDirectory(str(VERSIONS.parent)).walk_revisions()}
    revisions = list(release_revisions().compatible_since)
    later = revisions[revisions.index(FIRST) + 1 :]
    unmarked: dict[str, list[str]] = {}
    blocked: dict[str, list[str]] = {}
    found = set()
    engine = database_engine(empty_database, statement_timeout=None)
    with engine.connect() as connection:
        for revision in revisions:
            with recorded_statements() as statements:
                migrate.migrate_to(connection, revision)
                connection.commit()
            executed = [statement for statement, _ in statements if "alembic_version" not in statement]
            reasons = contracting(executed)
            found |= {revision} if reasons else set()
            if revision in later and reasons and not hasattr(scripts[revision], "compatible_since"):
                unmarked[revision] = reasons
            if revision in later and blocking(executed):
                blocked[revision] = blocking(executed)
    engine.dispose()
    assert not unmarked
    assert not blocked
    # The check finds what is known: renamed columns, a table that is dropped.
    assert {"0023", "0043"} <= found, found
    assert release_revisions().compatible_since[FIRST] == FIRST


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE orders DROP COLUMN note",
        "DROP TABLE notes",
        "ALTER TABLE orders RENAME COLUMN note TO remark",
        "ALTER TABLE orders ALTER COLUMN note SET NOT NULL",
        "ALTER TABLE orders ALTER note TYPE bigint",
        "ALTER TABLE orders ADD COLUMN note text NOT NULL, ADD COLUMN size int NOT NULL DEFAULT 0",
        "ALTER TABLE orders ADD CONSTRAINT orders_note_range CHECK (note > 0)",
        "CREATE UNIQUE INDEX orders_note_key ON orders (note)",
    ],
)
def test_contracting_statements_are_recognized(statement: str) -> None:
    assert len(contracting([statement])) == 1
    assert contracting([statement.replace("orders", "remarks"), "CREATE TABLE remarks (note text)"][::-1]) == (
        contracting([statement]) if "DROP TABLE" in statement else []
    )


def test_expanding_statements_are_allowed() -> None:
    expanding = """
        CREATE TABLE notes (id bigint NOT NULL); CREATE INDEX notes_idx ON notes (id);
        ALTER TABLE orders ADD COLUMN note text, ADD COLUMN size int NOT NULL DEFAULT 0;
        ALTER TABLE orders DROP CONSTRAINT orders_status_known, ADD CONSTRAINT orders_status_known CHECK (true);
        INSERT INTO notes VALUES ('DROP TABLE orders; RENAME'); -- DROP COLUMN
        CREATE INDEX IF NOT EXISTS orders_note_idx ON orders (note);
        """
    assert contracting([expanding]) == []
    assert blocking([expanding]) == []
    assert blocking(["CREATE INDEX orders_note_idx ON orders (note)"]) == [
        "CREATE INDEX orders_note_idx ON orders (note)"
    ]


# --- the code of this release on the tables of the next one


LATER: Final = "9999"
"""A revision that this release does not know."""


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


def test_orders_continue_while_a_newer_release_adds_to_all_tables(database: str, engine: Engine) -> None:
    store, clock, queries = PostgresStore(engine), SystemClock(), PostgresQueries(engine)
    stage = Stage(store)
    buyer, product = stage.account(), stage.product(stock=10_000)
    ordering = Ordering(store, clock)
    payments = Payments(store, clock, ids=RandomIds(), gateway=MemoryGateway())
    warm, expanded = threading.Event(), threading.Event()

    def buy() -> int:
        paid = 0
        while not expanded.is_set() or paid < 20:
            (order,) = ordering.place([PlaceOrder(CommandId(uuid4()), buyer, [OrderLineRequest(product, 1)])])
            assert isinstance(order, Order), order
            assert ordering.decide().total == 1
            (outcome,) = payments.pay([PayOrder(order.id, buyer)])
            assert isinstance(outcome, Order), outcome
            OutboxRelay(store, clock).assign_sequence()
            Statistics(store, clock).catch_up()
            paid += 1
            # From the sixth execution on, psycopg uses prepared statements, whose results must not change.
            if paid == 8:
                warm.set()
        return paid

    with ThreadPoolExecutor(1) as thread:
        buying = thread.submit(buy)
        assert warm.wait(PATIENCE)
        _expand(database)
        expanded.set()
        paid = buying.result(PATIENCE)
    migrate.check(database)
    migrate.upgrade(database)  # that of this release, such as after going back to it
    assert migrate.current(database) == LATER
    assert queries.stock_discrepancies() == []
    assert queries.statistics_discrepancies() == []
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM orders WHERE status = 'PAID'")) == paid

    with engine.begin() as connection:
        connection.execute(text(f"COMMENT ON TABLE alembic_version IS 'compatible since revision {LATER}'"))
    with pytest.raises(SchemaMismatch, match=rf"newer release .revision {LATER}.*: upgrade the code"):
        migrate.check(database)


def _expand(database: str) -> None:
    """Add a column to each table, in one transaction as migrations are."""
    engine = database_engine(database)

    def expand() -> bool | None:
        try:
            with engine.begin() as connection:
                for table in metadata.sorted_tables:
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN later text NOT NULL DEFAULT ''"))
                connection.execute(text("UPDATE alembic_version SET version_num = :later"), {"later": LATER})
        except OperationalError as error:
            if not isinstance(error.orig, DeadlockDetected | LockNotAvailable):
                raise
            return None  # PostgreSQL aborted the migration because of a deadlock; an operator repeats it.
        return True

    eventually(expand, "the migration of the newer release")
    engine.dispose()
