"""Add an index of the hours in which a product sold, which the stock outlook of sellers reads.

Revision ID: 0049
Revises: 0048
"""

from typing import Final

from alembic import op

revision: Final = "0049"
down_revision: Final = "0048"
branch_labels: Final = None
depends_on: Final = None

# Without the hours that have only views: views write to the table most often, and do not change this index.
UPGRADE: Final = """
CREATE INDEX product_hours_sold_idx ON product_hours (product_id, hour) INCLUDE (units) WHERE units > 0;
"""
DOWNGRADE: Final = """
DROP INDEX product_hours_sold_idx;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
