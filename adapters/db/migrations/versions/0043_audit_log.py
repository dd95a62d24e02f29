"""Add the audit log, which replaces the history of accounts.

Revision ID: 0043
Revises: 0042
"""

import json
import re
from typing import Final

from alembic import op

revision: Final = "0043"
down_revision: Final = "0042"
branch_labels: Final = None
depends_on: Final = None

CREATE: Final = """
CREATE TABLE audit_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_log_pk PRIMARY KEY,
    occurred_at TIMESTAMPTZ NOT NULL,
    actor_id BIGINT,
    network VARCHAR(50) NOT NULL,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id VARCHAR(64) NOT NULL,
    before JSONB NOT NULL,
    after JSONB NOT NULL,
    reason VARCHAR(500) NOT NULL,
    words JSONB NOT NULL
);
"""
READ: Final = "SELECT occurred_at, actor_id, kind, account_id, reason FROM account_actions ORDER BY id"
# 1,000 rows at a time: an array of each column.
COPY: Final = """
INSERT INTO audit_log
    (occurred_at, actor_id, network, action, target_kind, target_id, before, after, reason, words)
SELECT occurred_at, actor_id, '', 'account.' || kind, 'account', account_id::text, '{}', '{}', reason, words::jsonb
FROM unnest(
    %(occurred_at)s::timestamptz[], %(actor_id)s::bigint[], %(kind)s::text[], %(account_id)s::bigint[],
    %(reason)s::text[], %(words)s::text[]
) WITH ORDINALITY AS given(occurred_at, actor_id, kind, account_id, reason, words, place)
ORDER BY place
"""
COLUMNS: Final = ("occurred_at", "actor_id", "kind", "account_id", "reason")
INDEXES: Final = """
CREATE INDEX audit_log_occurred_at_idx ON audit_log (occurred_at, id);
CREATE INDEX audit_log_actor_idx ON audit_log (actor_id, occurred_at, id);
CREATE INDEX audit_log_action_idx ON audit_log (action, occurred_at, id);
CREATE INDEX audit_log_target_idx ON audit_log (target_kind, target_id, occurred_at, id);
CREATE INDEX audit_log_words_idx ON audit_log USING gin (words jsonb_path_ops);
DROP TABLE account_actions;
"""
KINDS: Final = (
    "'deactivated', 'reactivated', 'staff_appointed', 'staff_dismissed', 'sessions_revoked', 'deleted',"
    " 'second_factor_reset'"
)
DOWNGRADE: Final = f"""
CREATE TABLE account_actions (
    id BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT account_actions_pk PRIMARY KEY,
    account_id BIGINT NOT NULL CONSTRAINT account_actions_account_id_fk REFERENCES accounts (id),
    kind TEXT NOT NULL,
    reason VARCHAR(500) NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    actor_id BIGINT CONSTRAINT account_actions_actor_id_fk REFERENCES accounts (id),
    CONSTRAINT account_actions_kind_known CHECK (kind IN ({KINDS}))
);
CREATE INDEX account_actions_account_id_idx ON account_actions (account_id);
INSERT INTO account_actions (account_id, kind, reason, occurred_at, actor_id)
SELECT target_id::bigint, split_part(action, '.', 2), reason, occurred_at, actor_id
FROM audit_log
WHERE target_kind = 'account' AND split_part(action, '.', 2) IN ({KINDS})
ORDER BY id;
DROP TABLE audit_log;
"""  # noqa: S608 - the constant above


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(CREATE)
    with connection.exec_driver_sql(READ) as result:
        for rows in result.partitions(1000):
            columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
            # As `scalecommerce_core.domain.audit.reason_words` at the time of this revision.
            words = [json.dumps(sorted(set(re.findall(r"\w+", reason.casefold())))) for reason in columns["reason"]]
            connection.exec_driver_sql(COPY, {**columns, "words": words})
    connection.exec_driver_sql(INDEXES)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
