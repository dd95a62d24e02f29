"""Withdrawals of mistaken prices: when, who and why.

Revision ID: 0031
Revises: 0030
"""

from typing import Final

from alembic import op

revision: Final = "0031"
down_revision: Final = "0030"
branch_labels: Final = None
depends_on: Final = None

# Null columns rewrite no row.
COLUMNS: Final = """
ALTER TABLE price_history ADD COLUMN withdrawn_at timestamptz, ADD COLUMN withdrawn_by bigint,
    ADD COLUMN withdrawal_reason varchar(500)
"""
INDEX: Final = """
CREATE INDEX price_history_withdrawn_idx ON price_history (withdrawn_at, product_id) WHERE withdrawn_at IS NOT NULL
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(COLUMNS)
    op.get_bind().exec_driver_sql(INDEX)


def downgrade() -> None:
    # `is_withdrawn` stays: the former code does not promise these prices either.
    op.get_bind().exec_driver_sql(
        """
        ALTER TABLE price_history DROP COLUMN withdrawn_at, DROP COLUMN withdrawn_by, DROP COLUMN withdrawal_reason
        """
    )
