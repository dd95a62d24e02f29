"""Drop the foreign key of price history: writers hold the product's lock, and products are never deleted.

The check doubled the time of each insert, and pricing may insert millions of rows in a night.

Revision ID: 0010
Revises: 0009
"""

from typing import Final

from alembic import op

revision: Final = "0010"
down_revision: Final = "0009"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE price_history DROP CONSTRAINT price_history_product_id_fk")


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        "ALTER TABLE price_history ADD CONSTRAINT price_history_product_id_fk"
        " FOREIGN KEY (product_id) REFERENCES products (id)"
    )
