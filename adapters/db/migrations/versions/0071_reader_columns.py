"""Store the first readers of an event in columns instead of an array, with the columns in an order without padding.

Revision ID: 0071
Revises: 0069
"""

from typing import Final

from alembic import op

revision: Final = "0071"
down_revision: Final = "0069"
branch_labels: Final = None
depends_on: Final = None
# Code of earlier revisions reads and writes the column `audience`.
compatible_since: Final = "0071"

# A new table, because the place of a column in a row cannot be changed. `event_audience` has the readers from the
# fourth on, as before; the new index finds those of an event.
UPGRADE: Final = """
ALTER TABLE events RENAME TO former_events;
ALTER TABLE former_events DROP CONSTRAINT events_pk, DROP CONSTRAINT events_facts_stored;
DROP INDEX events_reader_1_idx, events_reader_2_idx, events_reader_3_idx;
CREATE TABLE events (
    seq BIGINT NOT NULL,
    occurred_at timestamptz NOT NULL,
    order_id BIGINT,
    reader_1 BIGINT,
    reader_2 BIGINT,
    reader_3 BIGINT,
    topic TEXT NOT NULL,
    payload JSONB
);
INSERT INTO events (seq, occurred_at, order_id, reader_1, reader_2, reader_3, topic, payload)
SELECT seq, occurred_at, order_id, audience[1], audience[2], audience[3], topic, payload
FROM former_events ORDER BY seq;
DROP TABLE former_events;
ALTER TABLE events ADD CONSTRAINT events_pk PRIMARY KEY (seq),
    ADD CONSTRAINT events_facts_stored CHECK ((payload IS NULL) = (order_id IS NOT NULL));
CREATE INDEX events_reader_1_idx ON events (reader_1, abs(seq));
CREATE INDEX events_reader_2_idx ON events (reader_2, abs(seq)) WHERE reader_2 IS NOT NULL;
CREATE INDEX events_reader_3_idx ON events (reader_3, abs(seq)) WHERE reader_3 IS NOT NULL;
CREATE INDEX IF NOT EXISTS event_audience_seq_idx ON event_audience (seq);
"""
DOWNGRADE: Final = """
ALTER TABLE events RENAME TO former_events;
ALTER TABLE former_events DROP CONSTRAINT events_pk, DROP CONSTRAINT events_facts_stored;
DROP INDEX events_reader_1_idx, events_reader_2_idx, events_reader_3_idx;
CREATE TABLE events (
    seq BIGINT NOT NULL,
    topic TEXT NOT NULL,
    occurred_at timestamptz NOT NULL,
    audience BIGINT[] NOT NULL,
    payload JSONB,
    order_id BIGINT
);
INSERT INTO events (seq, topic, occurred_at, audience, payload, order_id)
SELECT seq, topic, occurred_at,
    array_remove(ARRAY[reader_1, reader_2, reader_3], NULL)
        || ARRAY(SELECT account_id FROM event_audience AS further WHERE further.seq = former_events.seq ORDER BY 1),
    payload, order_id
FROM former_events ORDER BY seq;
DROP TABLE former_events;
DROP INDEX event_audience_seq_idx;
ALTER TABLE events ADD CONSTRAINT events_pk PRIMARY KEY (seq),
    ADD CONSTRAINT events_facts_stored CHECK ((payload IS NULL) = (order_id IS NOT NULL));
CREATE INDEX events_reader_1_idx ON events ((audience[1]), abs(seq));
CREATE INDEX events_reader_2_idx ON events ((audience[2]), abs(seq)) WHERE audience[2] IS NOT NULL;
CREATE INDEX events_reader_3_idx ON events ((audience[3]), abs(seq)) WHERE audience[3] IS NOT NULL;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
