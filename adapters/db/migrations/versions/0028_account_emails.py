"""Add e-mails to accounts: verified addresses, single-use tokens and outgoing e-mails.

Revision ID: 0028
Revises: 0027
"""

from typing import Final

from alembic import op

revision: Final = "0028"
down_revision: Final = "0027"
branch_labels: Final = None
depends_on: Final = None

# A column without a default rewrites no row: the addresses of existing accounts are not verified.
UPGRADE: Final = """
ALTER TABLE accounts ADD COLUMN email_verified_at timestamptz;

CREATE TABLE account_tokens (
    digest TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    purpose TEXT NOT NULL,
    email VARCHAR(254) NOT NULL,
    account_state TEXT NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT account_tokens_pk PRIMARY KEY (digest),
    CONSTRAINT account_tokens_purpose_known CHECK (purpose IN ('VERIFY_EMAIL', 'CHANGE_EMAIL', 'RESET_PASSWORD')),
    CONSTRAINT account_tokens_account_id_fk FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX account_tokens_account_id_idx ON account_tokens (account_id);
CREATE INDEX account_tokens_expires_at_idx ON account_tokens (expires_at);

CREATE SEQUENCE outgoing_email_ids;
CREATE TABLE outgoing_emails (
    id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    recipient VARCHAR(254) NOT NULL,
    account_id BIGINT,
    created_at timestamptz NOT NULL,
    try_at timestamptz NOT NULL,
    attempts INTEGER NOT NULL,
    CONSTRAINT outgoing_emails_pk PRIMARY KEY (id),
    CONSTRAINT outgoing_emails_kind_known CHECK (kind IN (
        'VERIFY_EMAIL', 'CHANGE_EMAIL', 'RESET_PASSWORD', 'EMAIL_CHANGE_REQUESTED', 'EMAIL_CHANGED',
        'PASSWORD_CHANGED', 'SECOND_FACTOR_ENABLED', 'SECOND_FACTOR_DISABLED', 'RECOVERY_CODE_USED', 'ACCOUNT_DELETED'
    )),
    CONSTRAINT outgoing_emails_account_id_fk FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX outgoing_emails_account_id_idx ON outgoing_emails (account_id);
CREATE INDEX outgoing_emails_try_at_idx ON outgoing_emails (try_at);
"""

DOWNGRADE: Final = """
DROP TABLE outgoing_emails, account_tokens;
DROP SEQUENCE outgoing_email_ids;
ALTER TABLE accounts DROP COLUMN email_verified_at;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
