"""Add webhook endpoints, deliveries and attempts.

Revision ID: 0005
Revises: 0004
"""

from typing import Final

from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"
branch_labels: Final = None
depends_on: Final = None

# The consumer is inserted here, so that the fan-out begins with the first event after the migration.
UPGRADE: Final = """
CREATE SEQUENCE endpoint_ids;
CREATE SEQUENCE delivery_ids;

CREATE TABLE webhook_endpoints (
    id BIGINT NOT NULL,
    owner_id BIGINT NOT NULL,
    url TEXT NOT NULL,
    topics JSONB NOT NULL,
    secrets JSONB NOT NULL,
    description TEXT NOT NULL,
    all_events BOOLEAN NOT NULL,
    is_active BOOLEAN NOT NULL,
    disabled_because TEXT,
    failures INTEGER NOT NULL,
    failing_since timestamptz,
    paused_until timestamptz,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    version INTEGER NOT NULL,
    CONSTRAINT webhook_endpoints_pk PRIMARY KEY (id),
    CONSTRAINT webhook_endpoints_failing_since_known CHECK ((failures = 0) = (failing_since IS NULL)),
    CONSTRAINT webhook_endpoints_deleted_is_inactive CHECK (deleted_at IS NULL OR NOT is_active),
    CONSTRAINT webhook_endpoints_owner_id_fk FOREIGN KEY(owner_id) REFERENCES accounts (id)
) WITH (fillfactor = 50);
CREATE INDEX webhook_endpoints_owner_id_idx ON webhook_endpoints (owner_id);
CREATE INDEX webhook_endpoints_all_events_idx ON webhook_endpoints (id) WHERE all_events;

CREATE TABLE webhook_deliveries (
    id BIGINT NOT NULL,
    endpoint_id BIGINT NOT NULL,
    seq BIGINT,
    message_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    logged INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    try_at timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT webhook_deliveries_pk PRIMARY KEY (id),
    CONSTRAINT webhook_deliveries_status_known CHECK (status IN ('PENDING', 'DELIVERED', 'FAILED')),
    CONSTRAINT webhook_deliveries_pending_is_due CHECK ((status = 'PENDING') = (try_at IS NOT NULL)),
    CONSTRAINT webhook_deliveries_endpoint_id_fk FOREIGN KEY(endpoint_id) REFERENCES webhook_endpoints (id)
);
CREATE INDEX webhook_deliveries_created_at_idx ON webhook_deliveries (created_at);
CREATE INDEX webhook_deliveries_endpoint_id_id_idx ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (endpoint_id, try_at) WHERE status = 'PENDING';
CREATE UNIQUE INDEX webhook_deliveries_once_idx ON webhook_deliveries (endpoint_id, seq);

CREATE TABLE webhook_attempts (
    delivery_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    at timestamptz NOT NULL,
    took INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    answer TEXT NOT NULL,
    CONSTRAINT webhook_attempts_pk PRIMARY KEY (delivery_id, number),
    CONSTRAINT webhook_attempts_delivery_id_fk FOREIGN KEY(delivery_id) REFERENCES webhook_deliveries (id)
);

INSERT INTO event_consumers (name, seq) SELECT 'webhooks', coalesce(max(last), 0) FROM event_counter;
"""

DOWNGRADE: Final = """
DELETE FROM event_consumers WHERE name = 'webhooks';
DROP TABLE webhook_attempts, webhook_deliveries, webhook_endpoints;
DROP SEQUENCE delivery_ids, endpoint_ids;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
