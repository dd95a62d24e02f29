"""Narrow indexes of orders, and let the key of stock movements begin with the product.

Revision ID: 0067
Revises: 0066
"""

from typing import Final

from alembic import op

revision: Final = "0067"
down_revision: Final = "0066"
branch_labels: Final = None
depends_on: Final = None
# Identity columns never repeat a value, so the unique index refuses no row that earlier code writes.
compatible_since: Final = "0065"

UPGRADE: Final = """
CREATE INDEX IF NOT EXISTS orders_expires_at_idx ON orders (expires_at) WHERE status = 'PENDING';
CREATE INDEX IF NOT EXISTS orders_final_idx ON orders (status, id)
    WHERE status IN ('CANCELLED', 'REFUNDED', 'REJECTED');
DROP INDEX orders_expiring_idx, orders_settled_idx;
CREATE UNIQUE INDEX IF NOT EXISTS stock_movements_product_id_id_key ON stock_movements (product_id, id);
ALTER TABLE stock_movements DROP CONSTRAINT stock_movements_pk,
    ADD CONSTRAINT stock_movements_pk PRIMARY KEY USING INDEX stock_movements_product_id_id_key;
DROP INDEX stock_movements_product_id_idx;
"""
DOWNGRADE: Final = """
CREATE INDEX stock_movements_product_id_idx ON stock_movements (product_id, id);
ALTER TABLE stock_movements DROP CONSTRAINT stock_movements_pk,
    ADD CONSTRAINT stock_movements_pk PRIMARY KEY (id);
CREATE INDEX orders_settled_idx ON orders (status, id) WHERE status NOT IN ('CREATED', 'PENDING');
CREATE INDEX orders_expiring_idx ON orders (expires_at, id) WHERE status = 'PENDING';
DROP INDEX orders_expires_at_idx, orders_final_idx;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
