"""Add the indexes of further lists for staff: products off sale, stock movements, inactive webhooks, deliveries.

Revision ID: 0047
Revises: 0046
"""

from typing import Final

from alembic import op

revision: Final = "0047"
down_revision: Final = "0046"
branch_labels: Final = None
depends_on: Final = None

# All but that of the stock movements are partial: most products are on sale, most deliveries delivered.
UPGRADE: Final = """
CREATE INDEX products_off_sale_idx ON products (created_at, id) WHERE NOT is_active;
CREATE INDEX products_seller_off_sale_idx ON products (seller_id, created_at, id) WHERE NOT is_active;
CREATE INDEX accounts_deactivated_idx ON accounts (id)
    WHERE NOT is_active AND (password_hash IS NOT NULL OR right(email, 16) <> '@deleted.invalid');
CREATE INDEX stock_movements_product_id_idx ON stock_movements (product_id, id);
CREATE INDEX webhook_endpoints_inactive_idx ON webhook_endpoints (id) WHERE NOT is_active AND deleted_at IS NULL;
CREATE INDEX webhook_deliveries_failed_idx ON webhook_deliveries (id) WHERE status = 'FAILED';
CREATE INDEX webhook_deliveries_pending_idx ON webhook_deliveries (id) WHERE status = 'PENDING';
"""
DOWNGRADE: Final = """
DROP INDEX products_off_sale_idx, products_seller_off_sale_idx, accounts_deactivated_idx,
    stock_movements_product_id_idx, webhook_endpoints_inactive_idx, webhook_deliveries_failed_idx,
    webhook_deliveries_pending_idx;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
