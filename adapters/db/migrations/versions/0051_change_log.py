"""Create the log of changes that API processes read instead of notifications.

Revision ID: 0051
Revises: 0050
"""

from typing import Final

from alembic import op

revision: Final = "0051"
down_revision: Final = "0050"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
CREATE TABLE change_log (
    xid bigint NOT NULL,
    products bigint[] NOT NULL,
    sellers bigint[] NOT NULL,
    revoked_sessions text[] NOT NULL,
    key_owners bigint[] NOT NULL,
    lists boolean NOT NULL,
    everything boolean NOT NULL,
    events boolean NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX change_log_xid_idx ON change_log (xid);
CREATE TABLE change_log_state (
    singleton boolean NOT NULL CONSTRAINT change_log_state_one_row CHECK (singleton),
    purged_below bigint NOT NULL,
    next_below bigint NOT NULL,
    next_at timestamptz NOT NULL,
    CONSTRAINT change_log_state_pk PRIMARY KEY (singleton)
);
INSERT INTO change_log_state VALUES (true, 0, 0, now());
"""
DOWNGRADE: Final = """
DROP TABLE change_log, change_log_state;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
