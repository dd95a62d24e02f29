"""Allow deletions in the history of accounts.

Revision ID: 0035
Revises: 0034
"""

from typing import Final

from alembic import op

revision: Final = "0035"
down_revision: Final = "0034"
branch_labels: Final = None
depends_on: Final = None

KINDS: Final = "'deactivated', 'reactivated', 'staff_appointed', 'staff_dismissed', 'sessions_revoked'"
CONSTRAINT: Final = """
ALTER TABLE account_actions
    DROP CONSTRAINT account_actions_kind_known,
    ADD CONSTRAINT account_actions_kind_known CHECK (kind IN ({kinds}));
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CONSTRAINT.format(kinds=f"{KINDS}, 'deleted'"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DELETE FROM account_actions WHERE kind = 'deleted'")
    op.get_bind().exec_driver_sql(CONSTRAINT.format(kinds=KINDS))
