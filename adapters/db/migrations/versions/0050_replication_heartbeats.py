"""Add a table of heartbeats that standbys receive with the write-ahead log.

Revision ID: 0050
Revises: 0049
"""

from typing import Final

from alembic import op

revision: Final = "0050"
down_revision: Final = "0049"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
CREATE TABLE replication_heartbeats (
    timeline bigint NOT NULL,
    mark varchar(36) NOT NULL,
    sent_at timestamptz NOT NULL,
    CONSTRAINT replication_heartbeats_pk PRIMARY KEY (timeline)
);
"""
DOWNGRADE: Final = """
DROP TABLE replication_heartbeats;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
