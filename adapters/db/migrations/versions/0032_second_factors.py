"""Add second factors of accounts.

Revision ID: 0032
Revises: 0031
"""

from typing import Final

from alembic import op

revision: Final = "0032"
down_revision: Final = "0031"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
CREATE TABLE second_factors (
    account_id BIGINT NOT NULL,
    encrypted_secret TEXT NOT NULL,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    last_step BIGINT NOT NULL,
    recovery_codes JSONB NOT NULL,
    CONSTRAINT second_factors_pk PRIMARY KEY (account_id),
    CONSTRAINT second_factors_account_id_fk FOREIGN KEY(account_id) REFERENCES accounts (id)
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP TABLE second_factors")
