"""Add API keys.

Revision ID: 0036
Revises: 0035
"""

from typing import Final

from alembic import op

revision: Final = "0036"
down_revision: Final = "0035"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE api_key_ids")
    op.execute(
        """
        CREATE TABLE api_keys (
            id BIGINT NOT NULL CONSTRAINT api_keys_pk PRIMARY KEY,
            account_id BIGINT NOT NULL CONSTRAINT api_keys_account_id_fk REFERENCES accounts (id),
            name VARCHAR(100) NOT NULL,
            prefix TEXT NOT NULL,
            digest TEXT NOT NULL CONSTRAINT api_keys_digest_key UNIQUE,
            scopes TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            expires_at TIMESTAMPTZ,
            revoked_at TIMESTAMPTZ,
            previous_digest TEXT CONSTRAINT api_keys_previous_digest_key UNIQUE,
            previous_until TIMESTAMPTZ,
            used_at TIMESTAMPTZ
        )
        """
    )
    op.execute("CREATE INDEX api_keys_account_id_idx ON api_keys (account_id)")


def downgrade() -> None:
    op.execute("DROP TABLE api_keys")
    op.execute("DROP SEQUENCE api_key_ids")
