"""Add the time until which the stock of a product must last.

Revision ID: 0039
Revises: 0037
"""

from typing import Final

from alembic import op

revision: Final = "0039"
down_revision: Final = "0037"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("ALTER TABLE products ADD COLUMN stock_until timestamptz")


def downgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("ALTER TABLE products DROP COLUMN stock_until")
