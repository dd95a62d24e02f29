"""Store events of orders without what the order has already, and find their first readers by indexes of the log.

Revision ID: 0065
Revises: 0064
"""

from typing import Final

from alembic import op

revision: Final = "0065"
down_revision: Final = "0064"
branch_labels: Final = None
depends_on: Final = None
# Code of earlier revisions reads the payload of every event, and all readers from `event_audience`.
compatible_since: Final = "0065"

# `event_audience` is filled anew: deleting most of its rows would take longer, and leave an empty index behind.
UPGRADE: Final = """
ALTER TABLE outbox ADD COLUMN order_id bigint, ALTER COLUMN payload DROP NOT NULL,
    ADD CONSTRAINT outbox_facts_stored CHECK ((payload IS NULL) = (order_id IS NOT NULL));
ALTER TABLE events ADD COLUMN order_id bigint, ALTER COLUMN payload DROP NOT NULL;
CREATE INDEX IF NOT EXISTS events_reader_1_idx ON events ((audience[1]), abs(seq));
CREATE INDEX IF NOT EXISTS events_reader_2_idx ON events ((audience[2]), abs(seq)) WHERE audience[2] IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_reader_3_idx ON events ((audience[3]), abs(seq)) WHERE audience[3] IS NOT NULL;
TRUNCATE event_audience;
INSERT INTO event_audience (account_id, seq)
SELECT DISTINCT account_id, seq FROM events, unnest(audience[4:]) AS account_id ORDER BY account_id, seq;
"""
DOWNGRADE: Final = """
TRUNCATE event_audience;
INSERT INTO event_audience (account_id, seq)
SELECT DISTINCT account_id, seq FROM events, unnest(audience) AS account_id ORDER BY account_id, seq;
DROP INDEX events_reader_1_idx, events_reader_2_idx, events_reader_3_idx;
{payloads}
ALTER TABLE events DROP COLUMN order_id, ALTER COLUMN payload SET NOT NULL;
ALTER TABLE outbox DROP CONSTRAINT outbox_facts_stored, DROP COLUMN order_id, ALTER COLUMN payload SET NOT NULL;
"""
PAYLOADS: Final = """
UPDATE {table} AS event SET order_id = NULL, payload = jsonb_build_object(
    'order_id', orders.id, 'buyer_id', buyer_id,
    'seller_ids', (SELECT jsonb_agg(DISTINCT seller_id) FROM order_lines WHERE order_id = orders.id),
    'status', CASE topic WHEN 'order.placed' THEN 'CREATED' WHEN 'order.reserved' THEN 'PENDING'
        WHEN 'order.rejected' THEN 'REJECTED' WHEN 'order.paid' THEN 'PAID' ELSE 'CANCELLED' END
)
FROM orders WHERE orders.id = event.order_id;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    payloads = "".join(PAYLOADS.format(table=table) for table in ("events", "outbox"))
    op.get_bind().exec_driver_sql(DOWNGRADE.format(payloads=payloads))
