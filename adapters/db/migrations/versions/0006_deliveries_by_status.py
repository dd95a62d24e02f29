"""Add an index for lists of an endpoint's deliveries by status.

Revision ID: 0006
Revises: 0005
"""

from typing import Final

from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        "CREATE INDEX webhook_deliveries_endpoint_id_status_id_idx ON webhook_deliveries (endpoint_id, status, id)"
    )


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP INDEX webhook_deliveries_endpoint_id_status_id_idx")
