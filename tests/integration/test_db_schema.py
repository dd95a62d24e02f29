"""Migrations create the tables of `adapters.db.schema`, also when several processes run them."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from adapters.db import migrate
from adapters.db.core.connection_parameters import database_url
from adapters.db.core.engine import database_engine
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.repositories.order_archive import CHECKSUM_COLUMNS
from adapters.db.schema import metadata
from adapters.db.schema_version import VERSIONS, release_revisions
from scalecommerce_core.domain.audit import AuditAction
from scalecommerce_core.domain.errors import SchemaMismatch, Unavailable
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import AuditFilter, PageRequest


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = database_engine(database)
    yield engine
    engine.dispose()


def test_migrations_create_the_tables_of_the_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        # Alembic compares the texts of expressions; their definitions are compared below.
        by_expression = {"accounts_search_idx", *(f"events_feed_{number}_idx" for number in (1, 2, 3))}
        opts = {"compare_server_default": True, "include_object": lambda _, name, *__: name not in by_expression}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, metadata) == []


# Details that Alembic does not compare: CHECK constraints, storage options, generated columns, index definitions.
DETAILS = """
SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = CAST(:schema AS regnamespace) AND contype <> 'n'
UNION ALL
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = CAST(:schema AS regnamespace)
UNION ALL
SELECT oid::regclass::text, coalesce(array_to_string(reloptions, ','), '') FROM pg_class
WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind = 'r'
UNION ALL
SELECT attrelid::regclass || '.' || attname,
    concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity, pg_get_expr(adbin, adrelid))
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""


def _details(connection: Connection, schema: str) -> dict[str, str]:
    connection.execute(text(f"SET LOCAL search_path = {schema}, public"))
    rows = connection.execute(text(DETAILS), {"schema": schema}).all()
    return {
        name: definition.replace(f"{schema}.", "")
        for name, definition in rows
        if not name.startswith("alembic_version")
    }


def test_migrations_and_metadata_have_equal_constraints_and_options(engine: Engine) -> None:
    with engine.connect() as connection:
        migrated = _details(connection, "public")
        connection.execute(text("CREATE SCHEMA model"))
        connection.execute(text("SET LOCAL search_path = model, public"))
        metadata.create_all(connection, checkfirst=False)
        assert _details(connection, "model") == migrated
        assert "stock stock_never_oversold" in migrated


# Functions in indexes, constraints, generated columns and defaults, with the functions that they call, whose bodies
# depend on tables. PostgreSQL records what the body of an SQL function depends on.
READING_FUNCTIONS = """
WITH RECURSIVE used AS (
    SELECT refobjid AS id FROM pg_depend
    WHERE refclassid = 'pg_proc'::regclass
        AND classid IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass)
    UNION
    SELECT refobjid FROM pg_depend JOIN used ON classid = 'pg_proc'::regclass AND objid = used.id
    WHERE refclassid = 'pg_proc'::regclass
)
SELECT DISTINCT CAST(CAST(used.id AS regproc) AS text)
FROM used JOIN pg_depend ON classid = 'pg_proc'::regclass AND objid = used.id AND refclassid = 'pg_class'::regclass
"""


def test_no_index_or_constraint_depends_on_a_function_that_reads_a_table(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalars(text(READING_FUNCTIONS)).all() == []
        connection.execute(text("ALTER TABLE vocabulary ADD CONSTRAINT sold CHECK (is_sold_as(word)) NOT VALID"))
        assert connection.scalars(text(READING_FUNCTIONS)).all() == ["is_sold_as"]


def test_no_trigger_has_a_transition_table(engine: Engine) -> None:
    with engine.connect() as connection:
        found = text("SELECT tgname FROM pg_trigger WHERE tgoldtable IS NOT NULL OR tgnewtable IS NOT NULL")
        assert connection.scalars(found).all() == []
        connection.exec_driver_sql(
            "CREATE TRIGGER added AFTER INSERT ON products REFERENCING NEW TABLE AS added"
            " FOR EACH STATEMENT EXECUTE FUNCTION products_were_listed()"
        )
        assert connection.scalars(found).all() == ["added"]


def test_triggers_on_products_maintain_the_other_tables_for_any_writer(engine: Engine) -> None:
    """Statements of one transaction that insert and reprice few and many products, one of which is undone."""
    products = (
        "INSERT INTO products (id, seller_id, category_id, name, brand, description, price, currency, is_active,"
        " created_at, updated_at, priced_at, version)"
        " SELECT id, 1, 1, 'Kettle', '', '', 100, 'USD', mod(id, 2) = 1, now(), now(), now(), 1"
        " FROM unnest(%s::bigint[]) AS given(id)"
    )
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)"
            " VALUES (1, 'a@example.com', '', '', '', false, true, now())"
        )
        connection.exec_driver_sql(products, ([5, 9, 7],))
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.exec_driver_sql(products, ([300, 5],))
        # Ids between those of another statement, and many.
        connection.exec_driver_sql(products, ([6],))
        connection.exec_driver_sql(products, (list(range(1000, 1300)),))
        assert _beside_products(connection) == (304, 304, 304, 153, 0)
        connection.exec_driver_sql("UPDATE products SET price = price + 1 WHERE id < 1096")
        assert _beside_products(connection)[4] == 0, "up to 100 prices are copied at once"
        pending = "SELECT first_id, last_id FROM product_prices_pending"
        assert connection.exec_driver_sql(pending).all() == []
        with connection.begin_nested() as undone:
            connection.exec_driver_sql("UPDATE products SET price = price + 1 WHERE id IN (6, 7)")
            undone.rollback()
        connection.exec_driver_sql("UPDATE products SET price = price + 1 WHERE id BETWEEN 7 AND 1297")
        ((first, last),) = connection.exec_driver_sql(pending).all()
        assert (first, _beside_products(connection)[4]) == (7, 300)
        assert last >= 1297
        connection.exec_driver_sql("UPDATE products SET price = price + 1, description = 'x' WHERE id = 6")
        connection.exec_driver_sql("UPDATE products SET description = 'y'")
        assert _beside_products(connection) == (304, 304, 304, 153, 300)


def _beside_products(connection: Connection) -> tuple[int, ...]:
    """Products, their prices, their views, words of active ones, and prices that differ."""
    return tuple(
        connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM products), (SELECT count(*) FROM product_prices),"
            " (SELECT count(*) FROM product_views),"
            " (SELECT CAST(sum(products) AS bigint) FROM vocabulary_changes WHERE word = 'kettle'),"
            " (SELECT count(*) FROM products JOIN product_prices ON id = product_id"
            " WHERE products.price <> product_prices.price)"
        ).one()
    )


def test_an_event_without_its_facts_is_refused(engine: Engine) -> None:
    """As a relay that does not know `order_id` would store it."""
    insert = """
        INSERT INTO events (seq, topic, occurred_at, payload, order_id)
        VALUES (1, 'order.paid', now(), NULL, :order_id)
    """
    with pytest.raises(IntegrityError, match="events_facts_stored"), engine.begin() as connection:
        connection.execute(text(insert), {"order_id": None})
    with engine.begin() as connection:
        connection.execute(text(insert), {"order_id": 1})


def test_words_of_similar_spelling_are_found_by_the_index(engine: Engine) -> None:
    """The operator in the body of the function must have the collation of the index."""
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        found = connection.scalars(text("EXPLAIN SELECT FROM vocabulary WHERE is_spelled_like(word, 'kettle')")).all()
    assert any("vocabulary_typos_idx" in row for row in found), found


def test_concurrent_processes_migrate_once(empty_database: str) -> None:
    assert migrate.current(empty_database) is None
    with pytest.raises(SchemaMismatch, match="no tables yet: run `scalecommerce migrate`"):
        migrate.check(empty_database)
    failures: list[BaseException] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(empty_database)
        except BaseException as error:  # noqa: BLE001 - looked at below
            failures.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    migrate.check(empty_database)
    migrate.upgrade(empty_database)
    with psycopg.connect(empty_database.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM categories").fetchone() == (20,)


def test_a_downgrade_to_base_drops_everything_and_an_upgrade_restores_it(empty_database: str) -> None:
    migrate.upgrade(empty_database)
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "base")
        left = connection.scalar(
            text("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')")
        )
        assert left == 1  # Alembic's own table
    engine.dispose()
    with pytest.raises(SchemaMismatch, match="no tables yet"):
        migrate.check(empty_database)
    migrate.upgrade(empty_database)
    migrate.check(empty_database)


LISTED_BEFORE = """
INSERT INTO products (id, seller_id, category_id, name, brand, description, price, currency, is_active, created_at,
    updated_at, priced_at, version)
SELECT id, 1, 1, name, '', '', 100, 'USD', true, now(), now(), now(), 1
FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS given(name, id)
"""


def test_existing_products_are_indexed_again(empty_database: str) -> None:
    """Words that are separated by any sign: see revision 0012."""
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0011")
        connection.execute(
            text(
                "INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at) "
                "VALUES (1, 'a@example.com', '', '', '', false, true, now())"
            )
        )
        names = ["Mug black/white", "White mug", "Ча\u0438\u0306"]
        connection.execute(text(LISTED_BEFORE), {"names": names})
    with engine.begin() as connection:
        migrate.migrate_to(connection, "head")
        white = text("SELECT id FROM products WHERE document @@ to_tsquery('market', 'white') ORDER BY id")
        assert connection.scalars(white).all() == [1, 2]
        known = connection.execute(text("SELECT word, products FROM vocabulary")).all()
        assert {row.word: row.products for row in known} == {"black": 1, "mug": 2, "white": 2, "чай": 1}
        assert connection.scalar(text("SELECT count(*) FROM vocabulary_changes")) == 0
    engine.dispose()


ROWS_OF_0022 = """
INSERT INTO seller_shelves VALUES (1, 2, 1, 7);
INSERT INTO vocabulary_news (word, products) VALUES ('mug', 1);
INSERT INTO product_prices_owed (first_id, last_id) VALUES (1, 2);
INSERT INTO statistics_owed (order_id, refunds) VALUES (5, '[[1, 2, 3, 4, "2026-01-01"]]');
INSERT INTO product_outages VALUES (1, 60, now());
INSERT INTO pricing_groups VALUES (1, 1, 'elasticity', -1.5);
INSERT INTO product_views (product_id, views, shelf) VALUES (1, 7, 2)
    ON CONFLICT (product_id) DO UPDATE SET views = 7, shelf = 2;
INSERT INTO outbox (topic, at, audience, payload) VALUES ('product.listed', '2026-01-01 00:00Z', '{1}', '{}');
"""
STORAGE = "SELECT oid, relfilenode FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"

OLD_NAMES = """
SELECT name FROM (SELECT conname FROM pg_constraint UNION SELECT relname FROM pg_class) AS names(name)
WHERE name ~ '_(owed|shelves|news|outages)|pricing_groups|_shelf_'
    OR name ~ '(refunds|events|outbox|movements|charges|attempts)_(at|by)_'
"""


def test_renaming_tables_keeps_their_rows_and_rewrites_none(empty_database: str) -> None:
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0022")
        connection.execute(
            text(
                "INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at) "
                "VALUES (1, 'a@example.com', '', '', '', false, true, now())"
            )
        )
        connection.execute(text(LISTED_BEFORE), {"names": ["Mug"]})
        connection.execute(text("DELETE FROM vocabulary_news"))
        connection.exec_driver_sql(ROWS_OF_0022)
        storage = set(map(tuple, connection.execute(text(STORAGE)).all()))
    with engine.begin() as connection:

        def rows(statement: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(text(statement)).all()]

        migrate.migrate_to(connection, "0023")
        assert storage <= set(rows(STORAGE))
        migrate.migrate_to(connection, "head")
        assert rows("SELECT * FROM seller_product_counts") == [(1, 2, 1, 7)]
        assert rows("SELECT word, products FROM vocabulary_changes") == [("mug", 1)]
        assert rows("SELECT first_id, last_id FROM product_prices_pending") == [(1, 2)]
        assert rows("SELECT order_id, refunds ->> 0 FROM statistics_pending WHERE order_id IS NOT NULL") == [
            (5, '[1, 2, 3, 4, "2026-01-01"]')
        ]
        assert rows("SELECT product_id, microseconds FROM product_stockouts") == [(1, 60)]
        assert rows("SELECT name, value FROM pricing_category_parameters") == [("elasticity", -1.5)]
        assert rows("SELECT product_id, views, listing_state FROM product_views") == [(1, 7, 2)]
        assert rows("SELECT topic, CAST(occurred_at AS text) FROM outbox") == [
            ("product.listed", "2026-01-01 00:00:00+00")
        ]
        # The triggers write to the renamed tables.
        connection.execute(text("UPDATE products SET name = 'Cup'"))
        assert rows("SELECT word, products FROM vocabulary_changes ORDER BY word, products") == [
            ("cup", 1),
            ("mug", -1),
            ("mug", 1),
        ]
        assert rows(OLD_NAMES) == []
    engine.dispose()


ORDER_OF_0055 = """
INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
SELECT n, n || '@example.com', '', '', '', false, true, now() FROM generate_series(1, 6) AS n;
INSERT INTO products (id, seller_id, category_id, name, brand, price, currency, description, is_active, created_at,
    updated_at, priced_at, version)
SELECT n, n, 1, 'Cup', '', 500, 'USD', '', true, now(), now(), now(), 1 FROM generate_series(2, 5) AS n;
INSERT INTO orders (id, command_id, buyer_id, currency, status, created_at, updated_at, expires_at, origin,
    decide_attempts)
VALUES (9, gen_random_uuid(), 1, 'USD', 'PENDING', now(), now(), now(), 'api', 0);
INSERT INTO order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
SELECT 9, n, n, n, 1, 500, 0 FROM generate_series(2, 5) AS n;
INSERT INTO events (seq, topic, occurred_at, audience, payload) VALUES
    (1, 'order.placed', now(), '{1}',
        '{"order_id": 9, "buyer_id": 1, "seller_ids": [2, 3, 4, 5], "status": "CREATED"}'),
    (2, 'order.reserved', now(), '{1, 2, 3, 4, 5}',
        '{"order_id": 9, "buyer_id": 1, "seller_ids": [2, 3, 4, 5], "status": "PENDING"}');
INSERT INTO event_audience (account_id, seq) SELECT account_id, seq FROM events, unnest(audience) AS account_id;
INSERT INTO event_counter (singleton, last) VALUES (true, 2);
"""
COMPACT_EVENTS = "UPDATE events SET order_id = 9, payload = NULL"


def test_feeds_are_the_same_before_and_after_the_compact_form_of_events(empty_database: str) -> None:
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0055")
        connection.exec_driver_sql(ORDER_OF_0055)
        stored = connection.execute(text("SELECT seq, audience, payload FROM events ORDER BY seq")).all()
        audience = connection.execute(text("SELECT * FROM event_audience ORDER BY 1, 2")).all()
        migrate.migrate_to(connection, "head")

    def feeds() -> dict[int, list[tuple[str, Mapping[str, Any]]]]:
        queries = PostgresQueries(engine)
        return {
            account: [(event.topic, event.data) for event in queries.feed(0, 10, AccountId(account) or None).events]
            for account in range(7)
        }

    before = feeds()
    assert [len(before[account]) for account in range(7)] == [2, 2, 1, 1, 1, 1, 0]
    assert before[0][1][1]["sellers"] == [2, 3, 4, 5]
    with engine.begin() as connection:
        connection.execute(text(COMPACT_EVENTS))
    assert feeds() == before
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0055")
        assert connection.execute(text("SELECT seq, audience, payload FROM events ORDER BY seq")).all() == stored
        assert connection.execute(text("SELECT * FROM event_audience ORDER BY 1, 2")).all() == audience
    engine.dispose()


PAYMENT = """
INSERT INTO payments (id, order_id, amount, currency, method, created_at, deadline, status, updated_at, check_at,
    checks, reference, reason, refunded, trouble)
VALUES (gen_random_uuid(), 9, 2000, 'USD', 'card', '2026-01-01', '2026-01-02', 'CAPTURED', '2026-01-03', '2026-01-04',
    1, 'charge', NULL, 1500, 'The refund waits.');
INSERT INTO payment_refunds (id, payment_id, reference, amount, currency, created_at, status, try_at, tries)
SELECT gen_random_uuid(), id, 'charge', 1500, 'USD', now(), 'OPEN', now(), 0 FROM payments;
INSERT INTO refunds (order_id, position, quantity, amount, restocked, occurred_at) VALUES (9, 3, 1, 500, false, now());
"""


def test_indexes_of_events_whose_concurrent_build_failed_are_replaced(empty_database: str) -> None:
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0071")
        connection.exec_driver_sql(
            "INSERT INTO events (seq, occurred_at, reader_1, topic, payload)"
            " VALUES (1, now(), 1, 'x', '{}'), (2, now(), 1, 'x', '{}')"
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, pytest.raises(IntegrityError):
        connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY events_feed_1_idx ON events (reader_1)")
    with engine.begin() as connection:
        invalid = text("SELECT CAST(indexrelid AS regclass) FROM pg_index WHERE NOT indisvalid")
        assert list(connection.scalars(invalid)) == ["events_feed_1_idx"]
        migrate.migrate_to(connection, "0072")
        assert list(connection.scalars(invalid)) == []
        found = connection.scalar(text("SELECT indexdef FROM pg_indexes WHERE indexname = 'events_feed_1_idx'"))
        assert "reader_1 & " in found
    engine.dispose()


def test_rows_are_the_same_in_tables_without_padding(empty_database: str) -> None:
    engine = database_engine(empty_database)
    tables = ("order_lines", "payments", "archived_order_lines", "archived_payments")
    with engine.begin() as connection:

        def rows() -> dict[str, list[Any]]:
            return {
                table: list(connection.scalars(text(f"SELECT to_jsonb({table}) AS row FROM {table} ORDER BY 1")))  # noqa: S608 - constants
                for table in tables
            }

        def columns(table: str) -> list[str]:
            return list(connection.execute(text(f"SELECT * FROM {table}")).keys())  # noqa: S608 - a constant

        migrate.migrate_to(connection, "0055")
        connection.exec_driver_sql(ORDER_OF_0055)
        migrate.migrate_to(connection, "0073")
        connection.exec_driver_sql(PAYMENT)
        for table in tables[2:]:
            name = table.removeprefix("archived_")
            connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {name}")  # noqa: S608 - constants
        stored, former = rows(), {table: columns(table) for table in tables}
        hashes = {table: connection.scalar(text(_hash_of_rows(table, columns(table)))) for table in tables}
        assert [len(stored[table]) for table in tables] == [4, 1, 4, 1]
        migrate.migrate_to(connection, "0074")
        assert rows() == stored
        assert all(columns(table) == [column.name for column in metadata.tables[table].c] for table in tables)
        assert all(columns(table) != former[table] for table in tables)
        for table in tables:
            hashed = CHECKSUM_COLUMNS[metadata.tables[table.removeprefix("archived_")]]
            assert sorted(hashed) == sorted(columns(table))
            assert connection.scalar(text(_hash_of_rows(table, hashed))) == hashes[table]
        migrate.migrate_to(connection, "0073")
        assert rows() == stored
        assert {table: columns(table) for table in tables} == former
    engine.dispose()


def _hash_of_rows(table: str, columns: Sequence[str]) -> str:
    return f"SELECT sum(hash_record_extended(ROW({', '.join(columns)}), 0)) FROM {table}"  # noqa: S608 - names of columns


@pytest.mark.parametrize("imported", [0, 2])
def test_earlier_views_count_and_imported_sales_are_counted_again(empty_database: str, imported: int) -> None:
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0037")
        connection.exec_driver_sql(
            "INSERT INTO price_sales (product_id, valid_from, views, orders) VALUES (1, now(), 7, 3), (2, now(), 0, 1)"
        )
        connection.execute(
            text("INSERT INTO product_sales (product_id, orders, past_orders) VALUES (1, 3, :past)"), {"past": imported}
        )
        migrate.migrate_to(connection, "0038")
        counted = "SELECT product_id, demand_views, past_units FROM price_sales ORDER BY product_id"
        assert [tuple(row) for row in connection.execute(text(counted))] == [(1, 7, 0), (2, 0, 0)]
        requested = connection.scalar(
            text("SELECT count(*) FROM statistics_pending WHERE product_id IS NULL AND order_id IS NULL")
        )
        assert requested == (imported > 0)
        migrate.migrate_to(connection, "0037")
        migrate.migrate_to(connection, "0038")
    engine.dispose()


RUNS = """
INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
VALUES (1, 'a@example.com', '', '', '', false, true, now());
INSERT INTO pricing_runs (id, policy_id, seller_id, policy_version, document, epoch, trigger, started_at, products,
    is_shadow, learns, is_whole, decided, moves, large, total_move, written, undone, note, status, ends_as, move_factor,
    caps_moves)
SELECT id, id, 1, 1, '{}', 0, 'schedule', now(), 1, false, true, true, 1, 1, 0, 0, 0, 0, '', status, ends_as, factor,
    caps
FROM (VALUES (1, 'WRITING', 'DONE', 1, false), (2, 'WRITING', 'DONE', 0.5, false), (3, 'WRITING', 'DONE', 1, true),
    (4, 'WRITING', 'DECLINED', 1, false), (5, 'AWAITING_APPROVAL', 'DONE', 1, false), (6, 'DONE', 'DONE', 0.5, true),
    (7, 'EXPIRED', 'EXPIRED', 1, false)) AS given(id, status, ends_as, factor, caps)
"""


def test_a_downgrade_cancels_runs_whose_limits_the_former_code_does_not_know(empty_database: str) -> None:
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0040")
        connection.exec_driver_sql(RUNS)
        migrate.migrate_to(connection, "0039")
        found = connection.execute(text("SELECT id, status FROM pricing_runs ORDER BY id")).all()
        assert [status for _, status in found] == [
            "WRITING", "CANCELLED", "CANCELLED", "CANCELLED", "CANCELLED", "DONE", "CANCELLED",
        ]  # fmt: skip
        migrate.migrate_to(connection, "head")
    engine.dispose()


ACTIONS = """
INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
VALUES (1, 'omar@example.com', '', '', '', true, true, now()), (2, 'ann@example.com', '', '', '', false, false, now());
INSERT INTO account_actions (account_id, kind, reason, occurred_at, actor_id)
VALUES (2, 'deactivated', 'Продаёт Подделки, again.', '2026-03-01 12:00+00', 1),
    (2, 'sessions_revoked', 'Lost a laptop.', '2026-03-02 12:00+00', NULL);
"""
HISTORY = "SELECT account_id, kind, reason, occurred_at, actor_id FROM account_actions ORDER BY id"


def test_the_history_of_accounts_moves_to_the_audit_log_and_back(empty_database: str) -> None:
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0042")
        connection.exec_driver_sql(ACTIONS)
        history = connection.exec_driver_sql(HISTORY).all()
        migrate.migrate_to(connection, "0043")
    queries = PostgresQueries(engine)
    details = queries.account_details(AccountId(2))
    assert details is not None
    assert [(each.action, each.reason, each.actor_id) for each in details.actions] == [
        (AuditAction.ACCOUNT_SESSIONS_REVOKED, "Lost a laptop.", None),
        (AuditAction.ACCOUNT_DEACTIVATED, "Продаёт Подделки, again.", 1),
    ]
    found = queries.audit_entries(PageRequest(), AuditFilter(text="again подделки"))
    assert [record.entry.target_id for record in found.rows] == ["2"]
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0042")
        assert connection.exec_driver_sql(HISTORY).all() == history
        migrate.migrate_to(connection, "head")
    engine.dispose()


def test_an_unreachable_database_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        migrate.current("postgresql://nobody@127.0.0.1:1/nothing")


@pytest.mark.parametrize("url", ["", "no url", "mysql://root@localhost/shop", "sqlite:///shop.db"])
def test_urls_of_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        database_engine(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_sessions_have_timeouts_and_use_utc(database: str, scheme: str) -> None:
    url = database_url(database).set(drivername=scheme).render_as_string(hide_password=False)
    engine = database_engine(url, application_name="a test")
    with engine.connect() as connection:
        shown = {
            name: connection.scalar(text(f"SHOW {name}"))
            for name in ("timezone", "statement_timeout", "lock_timeout", "application_name")
        }
    engine.dispose()
    assert shown == {
        "timezone": "UTC",
        "statement_timeout": "30s",
        "lock_timeout": "5s",
        "application_name": "a test",
    }


def test_release_revisions_are_those_of_alembic() -> None:
    scripts = ScriptDirectory(str(VERSIONS.parent))
    assert release_revisions().head == scripts.get_current_head()
    assert release_revisions().known == {script.revision for script in scripts.walk_revisions()}


def test_an_upgrade_reports_each_migration_before_and_after_it(empty_database: str) -> None:
    engine = database_engine(empty_database)
    with engine.begin() as connection:
        migrate.migrate_to(connection, "0011")
    engine.dispose()
    with pytest.raises(SchemaMismatch, match=r"older release .revision 0011.*: run `scalecommerce migrate`"):
        migrate.check(empty_database)
    reported: list[migrate.Migration] = []
    migrate.upgrade(empty_database, reported.append)
    total = len(reported) // 2
    assert [(each.number, each.seconds is None) for each in reported] == [
        (number, begins) for number in range(1, total + 1) for begins in (True, False)
    ]
    assert {each.total for each in reported} == {total}
    assert (reported[0].revision, reported[0].name) == ("0012", "words apart")
    assert reported[-1].revision == release_revisions().head
    reported.clear()
    migrate.upgrade(empty_database, reported.append)
    assert reported == []


def test_the_tables_of_a_newer_release_are_not_changed(database: str) -> None:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("COMMENT ON TABLE alembic_version IS 'compatible since revision 9999'")
    for use in (migrate.check, migrate.upgrade):
        with pytest.raises(SchemaMismatch, match=r"newer release .revision 9999.*: upgrade the code"):
            use(database)
    assert migrate.current(database) == "9999"
