"""Add the index by which staff find accounts by a part of their name or e-mail address.

Revision ID: 0048
Revises: 0047
"""

from typing import Final

from alembic import op

revision: Final = "0048"
down_revision: Final = "0047"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
CREATE INDEX accounts_search_idx ON accounts
    USING gin (folded(email || ' ' || first_name || ' ' || last_name || ' ' || display_name) gin_trgm_ops);
"""
DOWNGRADE: Final = """
DROP INDEX accounts_search_idx;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
