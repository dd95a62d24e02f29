"""Store the refresh token of a session that was exchanged last, and when, so that its exchange can be repeated.

Revision ID: 0016
Revises: 0015
"""

from typing import Final

from alembic import op

revision: Final = "0016"
down_revision: Final = "0015"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    # Nullable columns without a default: no row is rewritten, and processes of the former release can still add
    # sessions.
    op.get_bind().exec_driver_sql(
        "ALTER TABLE sessions ADD COLUMN previous varchar(255), ADD COLUMN rotated_at timestamptz"
    )


def downgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE sessions DROP COLUMN previous, DROP COLUMN rotated_at")
