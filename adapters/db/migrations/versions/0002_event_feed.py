"""Add the outbox and the numbered event log.

Events of earlier releases are deleted: they have no numbers, and no interface could read them.

Revision ID: 0002
Revises: 0001
"""

from typing import Final

from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
DROP TABLE events;
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    topic TEXT NOT NULL,
    at timestamptz NOT NULL,
    audience BIGINT[] NOT NULL,
    payload JSONB NOT NULL,
    CONSTRAINT outbox_pk PRIMARY KEY (id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE TABLE events (
    seq BIGINT NOT NULL,
    topic TEXT NOT NULL,
    at timestamptz NOT NULL,
    audience BIGINT[] NOT NULL,
    payload JSONB NOT NULL,
    CONSTRAINT events_pk PRIMARY KEY (seq)
);
CREATE TABLE event_audience (
    account_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT event_audience_pk PRIMARY KEY (account_id, seq)
);
CREATE TABLE event_counter (
    singleton BOOLEAN NOT NULL CONSTRAINT event_counter_one_row CHECK (singleton),
    last BIGINT NOT NULL,
    forgotten BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT event_counter_pk PRIMARY KEY (singleton),
    CONSTRAINT event_counter_forgotten_range CHECK (forgotten BETWEEN 0 AND last)
);
CREATE TABLE event_consumers (
    name TEXT NOT NULL,
    seq BIGINT NOT NULL CONSTRAINT event_consumers_seq_range CHECK (seq >= 0),
    CONSTRAINT event_consumers_pk PRIMARY KEY (name)
);
"""

DOWNGRADE: Final = """
DROP TABLE event_consumers, event_counter, event_audience, events, outbox;
CREATE TABLE events (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    seq BIGINT,
    topic TEXT NOT NULL,
    at timestamptz NOT NULL,
    audience BIGINT[] NOT NULL,
    payload JSONB NOT NULL,
    CONSTRAINT events_pk PRIMARY KEY (id),
    CONSTRAINT events_seq_key UNIQUE (seq)
);
CREATE INDEX events_unnumbered_idx ON events (id) WHERE seq IS NULL;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
