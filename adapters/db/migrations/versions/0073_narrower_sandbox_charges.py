"""Drop columns of the sandbox gateway that nothing reads: the payment has the method and the time of a charge.

Revision ID: 0073
Revises: 0072
"""

from typing import Final

from alembic import op

revision: Final = "0073"
down_revision: Final = "0072"
branch_labels: Final = None
depends_on: Final = None
# Code of earlier revisions writes `method`.
compatible_since: Final = "0073"

UPGRADE: Final = """
ALTER TABLE sandbox_charges DROP COLUMN method, DROP COLUMN occurred_at;
"""
# The methods and times of charges are lost: code of earlier revisions only writes them.
DOWNGRADE: Final = """
ALTER TABLE sandbox_charges
    ADD COLUMN method TEXT NOT NULL DEFAULT '', ADD COLUMN occurred_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE sandbox_charges ALTER COLUMN method DROP DEFAULT;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
