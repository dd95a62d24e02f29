"""Add the seller's limit per buyer, and an index of open orders by buyer for quotas.

Revision ID: 0026
Revises: 0025
"""

from typing import Final

from alembic import op

revision: Final = "0026"
down_revision: Final = "0025"
branch_labels: Final = None
depends_on: Final = None

# The open orders of an account are few, so the index stays small however many orders there are.
INDEX: Final = "CREATE INDEX orders_open_idx ON orders (buyer_id) WHERE status IN ('CREATED', 'PENDING')"
LIMITED: Final = "CREATE INDEX products_limited_idx ON products (max_per_buyer, id) WHERE max_per_buyer IS NOT NULL"
# Validated apart: adding a constraint blocks all readers, its validation does not.
LIMIT: Final = """
ALTER TABLE products ADD COLUMN max_per_buyer integer;
ALTER TABLE products ADD CONSTRAINT products_max_per_buyer_range CHECK (max_per_buyer >= 1) NOT VALID;
"""
VALIDATE: Final = "ALTER TABLE products VALIDATE CONSTRAINT products_max_per_buyer_range"


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(LIMIT)
    connection.exec_driver_sql(VALIDATE)
    connection.exec_driver_sql(INDEX)
    connection.exec_driver_sql(LIMITED)


def downgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("DROP INDEX orders_open_idx")
    connection.exec_driver_sql("ALTER TABLE products DROP COLUMN max_per_buyer")
    # The former code reads three values per line; the reason is lost.
    connection.exec_driver_sql(
        """
        UPDATE orders SET shortfalls = (
            SELECT jsonb_agg(line - 3 ORDER BY place)
            FROM jsonb_array_elements(shortfalls) WITH ORDINALITY AS each(line, place)
        )
        WHERE status = 'REJECTED' AND jsonb_array_length(shortfalls -> 0) > 3
        """
    )
