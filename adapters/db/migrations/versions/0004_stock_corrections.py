"""Allow movements of the kind `correction` in the stock ledger.

Revision ID: 0004
Revises: 0003
"""

from typing import Final

from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None

KINDS: Final = """
ALTER TABLE stock_movements
    DROP CONSTRAINT stock_movements_kind_known,
    ADD CONSTRAINT stock_movements_kind_known CHECK (kind IN ({}))
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(KINDS.format("'opening', 'adjustment', 'sale', 'return', 'correction'"))


def downgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("UPDATE stock_movements SET kind = 'adjustment' WHERE kind = 'correction'")
    connection.exec_driver_sql(KINDS.format("'opening', 'adjustment', 'sale', 'return'"))
