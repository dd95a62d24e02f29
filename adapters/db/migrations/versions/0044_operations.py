"""Store why decisions, payments, refunds and e-mails fail, and add the indexes of the lists for staff.

Revision ID: 0044
Revises: 0043
"""

from typing import Final

from alembic import op

revision: Final = "0044"
down_revision: Final = "0043"
branch_labels: Final = None
depends_on: Final = None

# Columns without a default, or with a constant one, rewrite no row.
UPGRADE: Final = """
ALTER TABLE orders
    ADD COLUMN decide_error varchar(255),
    ADD COLUMN decided_at timestamptz,
    ADD COLUMN has_expired boolean NOT NULL DEFAULT false;
ALTER TABLE payments ADD COLUMN trouble varchar(255);
ALTER TABLE payment_refunds ADD COLUMN trouble varchar(255);
ALTER TABLE outgoing_emails ADD COLUMN trouble varchar(255);
CREATE INDEX orders_parked_idx ON orders (id) WHERE status = 'CREATED' AND decide_attempts >= 5;
CREATE INDEX orders_settled_idx ON orders (status, id) WHERE status NOT IN ('CREATED', 'PENDING');
CREATE INDEX orders_created_at_id_idx ON orders (created_at, id);
CREATE INDEX stock_movements_order_id_idx ON stock_movements (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX webhook_endpoints_disabled_idx ON webhook_endpoints (id)
    WHERE disabled_because IS NOT NULL AND deleted_at IS NULL;
"""
DOWNGRADE: Final = """
DROP INDEX webhook_endpoints_disabled_idx, stock_movements_order_id_idx, orders_created_at_id_idx, orders_settled_idx,
    orders_parked_idx;
ALTER TABLE outgoing_emails DROP COLUMN trouble;
ALTER TABLE payment_refunds DROP COLUMN trouble;
ALTER TABLE payments DROP COLUMN trouble;
ALTER TABLE orders DROP COLUMN decide_error, DROP COLUMN decided_at, DROP COLUMN has_expired;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
