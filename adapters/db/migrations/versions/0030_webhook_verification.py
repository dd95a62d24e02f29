"""Verify webhook endpoints, and count the deliveries that are being sent.

Revision ID: 0030
Revises: 0029
"""

from typing import Final

from alembic import op

revision: Final = "0030"
down_revision: Final = "0029"
branch_labels: Final = None
depends_on: Final = None

# Endpoints of earlier releases count as verified. Columns without a default rewrite no row; the table of endpoints is
# small, that of deliveries may be large.
UPGRADE: Final = """
ALTER TABLE webhook_endpoints
    ADD COLUMN verified_at timestamptz,
    ADD COLUMN verification_id bigint,
    ADD COLUMN response_time integer;
UPDATE webhook_endpoints SET verified_at = created_at;
ALTER TABLE webhook_deliveries ADD COLUMN leased_until timestamptz;
"""
# Earlier releases would send events to endpoints that are not verified, and challenges as messages.
DOWNGRADE: Final = """
UPDATE webhook_endpoints
SET is_active = false, disabled_because = 'The receiver has not returned the challenge.', failures = 0,
    failing_since = NULL, paused_until = NULL
WHERE verification_id IS NOT NULL AND is_active;
UPDATE webhook_deliveries SET status = 'FAILED', try_at = NULL
WHERE status = 'PENDING' AND topic = 'webhook.verification';
ALTER TABLE webhook_deliveries DROP COLUMN leased_until;
ALTER TABLE webhook_endpoints DROP COLUMN verified_at, DROP COLUMN verification_id, DROP COLUMN response_time;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
