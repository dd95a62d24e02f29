"""Store the weights of views beyond 1, for pricing and popularity.

Revision ID: 0025
Revises: 0024
"""

from typing import Final

from alembic import op

revision: Final = "0025"
down_revision: Final = "0024"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    # A constant default rewrites no row. Earlier views have the weight 1.
    op.get_bind().exec_driver_sql("ALTER TABLE product_views ADD COLUMN extra_weight bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE product_views DROP COLUMN extra_weight")
