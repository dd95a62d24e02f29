"""What sellers bought of themselves is no sale any more: where there was such a thing, statistics are made anew.

Revision ID: 0021
Revises: 0016
"""

from typing import Final

from alembic import op

revision: Final = "0021"
down_revision: Final = "0016"
branch_labels: Final = None
depends_on: Final = None

# A row that names neither a product nor an order asks for everything; the fold looks for it in the first row only.
REBUILD: Final = """
INSERT INTO statistics_owed (id) OVERRIDING SYSTEM VALUE
SELECT (SELECT least(min(id), 1) - 1 FROM statistics_owed)
WHERE EXISTS (
    SELECT FROM order_lines JOIN orders ON orders.id = order_lines.order_id
    WHERE orders.buyer_id = order_lines.seller_id AND orders.paid_at IS NOT NULL
)
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(REBUILD)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(REBUILD)
