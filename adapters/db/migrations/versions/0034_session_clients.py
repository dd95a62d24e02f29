"""Add the network and the user agent of sessions, and an index for the purge of ended ones.

The columns have constant defaults, so that no row is rewritten.

Revision ID: 0034
Revises: 0033
"""

from typing import Final

from alembic import op

revision: Final = "0034"
down_revision: Final = "0033"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.execute("ALTER TABLE sessions ADD COLUMN network VARCHAR(50) NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE sessions ADD COLUMN user_agent VARCHAR(80) NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX sessions_expires_idx ON sessions (expires_at)")


def downgrade() -> None:
    op.execute("DROP INDEX sessions_expires_idx")
    op.execute("ALTER TABLE sessions DROP COLUMN user_agent, DROP COLUMN network")
