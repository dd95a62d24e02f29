"""Log which aspects of products a transaction changed, so that lists that do not depend on them stay cached.

Processes of earlier releases write rows without aspects, which concern every list, and ignore those of other rows.

Revision ID: 0064
Revises: 0055
"""

from typing import Final

from alembic import op

revision: Final = "0064"
down_revision: Final = "0055"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
ALTER TABLE change_log ADD COLUMN aspects jsonb;
"""
DOWNGRADE: Final = """
ALTER TABLE change_log DROP COLUMN aspects;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
