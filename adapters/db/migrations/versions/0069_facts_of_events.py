"""Require the facts of each event in the log, as in the outbox.

A relay of a release before 0065 that still runs fails then, instead of losing the facts of events.

Revision ID: 0069
Revises: 0068
"""

from typing import Final

from alembic import op

revision: Final = "0069"
down_revision: Final = "0068"
branch_labels: Final = None
depends_on: Final = None
# Code of earlier revisions numbers events without `order_id`.
compatible_since: Final = "0065"

UPGRADE: Final = """
ALTER TABLE events ADD CONSTRAINT events_facts_stored
    CHECK ((payload IS NULL) = (order_id IS NOT NULL)) NOT VALID;
"""
VALIDATE: Final = "ALTER TABLE events VALIDATE CONSTRAINT events_facts_stored"
DOWNGRADE: Final = "ALTER TABLE events DROP CONSTRAINT events_facts_stored"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)
    op.get_bind().exec_driver_sql(VALIDATE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
