"""Add the recent times without stock to the stockouts of products, from which the rate of sales is calculated.

Revision ID: 0045
Revises: 0044
"""

from typing import Final

from alembic import op

revision: Final = "0045"
down_revision: Final = "0044"
branch_labels: Final = None
depends_on: Final = None

# A column without a default rewrites no row. The workers fill it from the next stockout on.
UPGRADE: Final = """
ALTER TABLE product_stockouts ADD COLUMN recent jsonb;
"""
DOWNGRADE: Final = """
ALTER TABLE product_stockouts DROP COLUMN recent;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
