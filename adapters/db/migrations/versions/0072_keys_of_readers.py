"""Store one number instead of two in each entry of the indexes that find the events of a reader.

Revision ID: 0072
Revises: 0071
"""

from typing import Final

from alembic import op

revision: Final = "0072"
down_revision: Final = "0071"
branch_labels: Final = None
depends_on: Final = None
# Code of earlier revisions would read the whole event log for each page of an account.
compatible_since: Final = "0072"

# An index whose concurrent build has failed exists, and answers no query.
UPGRADE: Final = """
DO $$
DECLARE
    unusable regclass;
BEGIN
    FOR unusable IN
        SELECT indexrelid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = CAST('events' AS regclass) AND starts_with(relname, 'events_feed_') AND NOT indisvalid
    LOOP
        EXECUTE 'DROP INDEX ' || unusable;
    END LOOP;
END
$$;
CREATE INDEX IF NOT EXISTS events_feed_1_idx ON events ((((reader_1 & 268435455) << 34) + seq));
CREATE INDEX IF NOT EXISTS events_feed_2_idx ON events ((((reader_2 & 268435455) << 34) + seq))
    WHERE reader_2 IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_feed_3_idx ON events ((((reader_3 & 268435455) << 34) + seq))
    WHERE reader_3 IS NOT NULL;
DROP INDEX events_reader_1_idx, events_reader_2_idx, events_reader_3_idx;
"""
DOWNGRADE: Final = """
CREATE INDEX events_reader_1_idx ON events (reader_1, abs(seq));
CREATE INDEX events_reader_2_idx ON events (reader_2, abs(seq)) WHERE reader_2 IS NOT NULL;
CREATE INDEX events_reader_3_idx ON events (reader_3, abs(seq)) WHERE reader_3 IS NOT NULL;
DROP INDEX events_feed_1_idx, events_feed_2_idx, events_feed_3_idx;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
