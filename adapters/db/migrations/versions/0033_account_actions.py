"""Add the history of accounts (deactivation, staff rights), and an index of the staff accounts.

The index is partial and small; it lets an appointment or dismissal lock the staff accounts without reading all others.

Revision ID: 0033
Revises: 0032
"""

from typing import Final

from alembic import op

revision: Final = "0033"
down_revision: Final = "0032"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE account_actions (
            id BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT account_actions_pk PRIMARY KEY,
            account_id BIGINT NOT NULL CONSTRAINT account_actions_account_id_fk REFERENCES accounts (id),
            kind TEXT NOT NULL,
            reason VARCHAR(500) NOT NULL,
            occurred_at TIMESTAMPTZ NOT NULL,
            actor_id BIGINT CONSTRAINT account_actions_actor_id_fk REFERENCES accounts (id),
            CONSTRAINT account_actions_kind_known CHECK (
                kind IN ('deactivated', 'reactivated', 'staff_appointed', 'staff_dismissed', 'sessions_revoked')
            )
        )
        """
    )
    op.execute("CREATE INDEX account_actions_account_id_idx ON account_actions (account_id)")
    op.execute("CREATE INDEX accounts_staff_idx ON accounts (id) WHERE is_staff")


def downgrade() -> None:
    op.execute("DROP INDEX accounts_staff_idx")
    op.execute("DROP TABLE account_actions")
