"""Store which orders staff cancelled.

Revision ID: 0046
Revises: 0045
"""

from typing import Final

from alembic import op

revision: Final = "0046"
down_revision: Final = "0045"
branch_labels: Final = None
depends_on: Final = None

# A column with a constant default rewrites no row.
UPGRADE: Final = """
ALTER TABLE orders ADD COLUMN is_cancelled_by_staff boolean NOT NULL DEFAULT false;
"""
DOWNGRADE: Final = """
ALTER TABLE orders DROP COLUMN is_cancelled_by_staff;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
