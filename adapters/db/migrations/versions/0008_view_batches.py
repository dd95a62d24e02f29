"""Add the ids of counted view batches, so that no batch is counted twice.

Revision ID: 0008
Revises: 0007
"""

from typing import Final

from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
CREATE TABLE view_batches (
    id TEXT NOT NULL,
    noted_at timestamptz NOT NULL,
    CONSTRAINT view_batches_pk PRIMARY KEY (id)
);
CREATE INDEX view_batches_noted_at_idx ON view_batches (noted_at);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP TABLE view_batches")
