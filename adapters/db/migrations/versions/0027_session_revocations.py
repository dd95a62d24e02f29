"""Add an index of revoked sessions, which API processes read when they start.

Most sessions are never revoked, so the index is partial and small.

Revision ID: 0027
Revises: 0026
"""

from typing import Final

from alembic import op

revision: Final = "0027"
down_revision: Final = "0026"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.execute("CREATE INDEX sessions_revoked_idx ON sessions (revoked_at) WHERE revoked_at IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX sessions_revoked_idx")
