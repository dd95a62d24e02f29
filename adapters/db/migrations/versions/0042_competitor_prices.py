"""Add the lowest price of a competitor to products, and when it was observed.

Revision ID: 0042
Revises: 0041
"""

from typing import Final

from alembic import op

revision: Final = "0042"
down_revision: Final = "0041"
branch_labels: Final = None
depends_on: Final = None

# Columns without a default rewrite no row.
UPGRADE: Final = """
ALTER TABLE products ADD COLUMN competitor_price bigint, ADD COLUMN competitor_price_at timestamptz;
"""
DOWNGRADE: Final = """
ALTER TABLE products DROP COLUMN competitor_price, DROP COLUMN competitor_price_at;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
