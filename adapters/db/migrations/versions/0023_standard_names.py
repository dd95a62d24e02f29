"""Rename tables and columns to the terms of the field, and the constraints and sequences that are named after them.

All statements change the catalog only: no row is read or rewritten. Triggers whose functions name a renamed table get
a new body.

Revision ID: 0023
Revises: 0022
"""

from typing import Final

from alembic import op
from sqlalchemy import Connection

revision: Final = "0023"
down_revision: Final = "0022"
branch_labels: Final = None
depends_on: Final = None

TABLES: Final = (
    ("seller_shelves", "seller_product_counts"),
    ("vocabulary_news", "vocabulary_changes"),
    ("product_prices_owed", "product_prices_pending"),
    ("statistics_owed", "statistics_pending"),
    ("product_outages", "product_stockouts"),
    ("pricing_groups", "pricing_category_parameters"),
)
COLUMNS: Final = (
    ("product_views", "shelf", "listing_state"),
    ("refunds", "at", "occurred_at"),
    ("refunds", "by", "actor_id"),
    ("outbox", "at", "occurred_at"),
    ("events", "at", "occurred_at"),
    ("stock_movements", "at", "occurred_at"),
    ("sandbox_charges", "at", "occurred_at"),
    ("sandbox_refunds", "at", "occurred_at"),
    ("webhook_attempts", "at", "occurred_at"),
)
# As of revision 0011, except for the names of two tables.
FUNCTIONS: Final = """
CREATE OR REPLACE FUNCTION products_were_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO product_prices (product_id, category_id, price)
    SELECT id, category_id, price FROM listed ORDER BY id;
    INSERT INTO product_views (product_id, views)
    SELECT id, 0 FROM listed ORDER BY id ON CONFLICT (product_id) DO NOTHING;
    INSERT INTO {vocabulary} (word, products)
    SELECT word, count(*) FROM listed, search_words(name, brand) AS word WHERE is_active GROUP BY word;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION product_was_reworded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {vocabulary} (word, products)
    SELECT word, sum(change) FROM (
        SELECT search_words(OLD.name, OLD.brand) AS word, -1 AS change WHERE OLD.is_active
        UNION ALL SELECT search_words(NEW.name, NEW.brand), 1 WHERE NEW.is_active
    ) AS changes
    GROUP BY word HAVING sum(change) <> 0;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION products_were_repriced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed_count bigint;
    first_changed bigint;
    last_changed bigint;
BEGIN
    SELECT count(*), min(id), max(id) INTO changed_count, first_changed, last_changed FROM changed;
    IF changed_count > 100 THEN
        INSERT INTO {prices} (first_id, last_id) VALUES (first_changed, last_changed);
    ELSIF changed_count > 0 THEN
        -- Lock in id order first: the task that syncs the price index takes the same rows.
        PERFORM FROM product_prices WHERE product_id IN (SELECT id FROM changed) ORDER BY product_id FOR NO KEY UPDATE;
        UPDATE product_prices SET price = changed.price, category_id = changed.category_id
        FROM changed
        WHERE product_id = changed.id
            AND (product_prices.price, product_prices.category_id)
                IS DISTINCT FROM (changed.price, changed.category_id);
    END IF;
    RETURN NULL;
END
$$;
"""
# The names of a table's constraints begin with the table, those of a column's with table and column. PostgreSQL 18
# names NOT NULL constraints too.
CONSTRAINTS: Final = """
SELECT conname FROM pg_constraint WHERE conrelid = CAST(%s AS regclass) AND starts_with(conname, %s) ORDER BY conname
"""


def upgrade() -> None:
    connection = op.get_bind()
    for old, new in TABLES:
        _rename_table(connection, old, new)
    for table, old, new in COLUMNS:
        _rename_column(connection, table, old, new)
    connection.exec_driver_sql(FUNCTIONS.format(vocabulary="vocabulary_changes", prices="product_prices_pending"))


def downgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(FUNCTIONS.format(vocabulary="vocabulary_news", prices="product_prices_owed"))
    for table, old, new in COLUMNS:
        _rename_column(connection, table, new, old)
    for old, new in TABLES:
        _rename_table(connection, new, old)


def _rename_table(connection: Connection, old: str, new: str) -> None:
    connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")
    # The sequence of an identity column.
    connection.exec_driver_sql(f"ALTER SEQUENCE IF EXISTS {old}_id_seq RENAME TO {new}_id_seq")
    _rename_constraints(connection, new, f"{old}_", f"{new}_")


def _rename_column(connection: Connection, table: str, old: str, new: str) -> None:
    connection.exec_driver_sql(f'ALTER TABLE {table} RENAME COLUMN "{old}" TO "{new}"')
    _rename_constraints(connection, table, f"{table}_{old}_", f"{table}_{new}_")


def _rename_constraints(connection: Connection, table: str, old: str, new: str) -> None:
    for name in connection.exec_driver_sql(CONSTRAINTS, (table, old)).scalars().all():
        renamed = new + name.removeprefix(old)
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME CONSTRAINT {name} TO {renamed}")
