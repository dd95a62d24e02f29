"""Count the products of a run for which the policy proposed no usable price.

Revision ID: 0022
Revises: 0021
"""

from typing import Final

from alembic import op

revision: Final = "0022"
down_revision: Final = "0021"
branch_labels: Final = None
depends_on: Final = None

TABLES: Final = ("pricing_runs", "pricing_ranges")


def upgrade() -> None:
    for table in TABLES:
        # A constant default rewrites no row. Runs of earlier releases did not count these products and show 0.
        op.get_bind().exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN unpriced bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    for table in TABLES:
        op.get_bind().exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN unpriced")
