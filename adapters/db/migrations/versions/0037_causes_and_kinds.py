"""Allow new causes of prices, actions in the history of accounts, and kinds of e-mails.

Revision ID: 0037
Revises: 0036
"""

from typing import Final

from alembic import op

revision: Final = "0037"
down_revision: Final = "0036"
branch_labels: Final = None
depends_on: Final = None

CAUSES: Final = "'listed', 'manual', 'policy', 'import', 'rollback'"
ACTIONS: Final = "'deactivated', 'reactivated', 'staff_appointed', 'staff_dismissed', 'sessions_revoked', 'deleted'"
KINDS: Final = (
    "'VERIFY_EMAIL', 'CHANGE_EMAIL', 'RESET_PASSWORD', 'EMAIL_CHANGE_REQUESTED', 'EMAIL_CHANGED', 'PASSWORD_CHANGED',"
    " 'SECOND_FACTOR_ENABLED', 'SECOND_FACTOR_DISABLED', 'RECOVERY_CODE_USED', 'ACCOUNT_DELETED'"
)
# Validated apart: adding a constraint blocks all readers, its validation does not.
CONSTRAINT: Final = """
ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_known,
    ADD CONSTRAINT {table}_{column}_known CHECK ({column} IN ({values})) NOT VALID;
"""
VALIDATE: Final = "ALTER TABLE {table} VALIDATE CONSTRAINT {table}_{column}_known"


def upgrade() -> None:
    _constrain("account_actions", "kind", f"{ACTIONS}, 'second_factor_reset'")
    _constrain("outgoing_emails", "kind", f"{KINDS}, 'PASSWORD_RESET'")
    _constrain("price_history", "cause", f"{CAUSES}, 'withdrawal'")


def downgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("DELETE FROM account_actions WHERE kind = 'second_factor_reset'")
    connection.exec_driver_sql("UPDATE outgoing_emails SET kind = 'PASSWORD_CHANGED' WHERE kind = 'PASSWORD_RESET'")
    # The former code recorded withdrawals as rollbacks.
    connection.exec_driver_sql("UPDATE price_history SET cause = 'rollback' WHERE cause = 'withdrawal'")
    # The former code reads four values per line; the limit per buyer, the units held and the period are lost.
    connection.exec_driver_sql(
        """
        UPDATE orders SET shortfalls = (
            SELECT jsonb_agg(line - 6 - 5 - 4 ORDER BY place)
            FROM jsonb_array_elements(shortfalls) WITH ORDINALITY AS each(line, place)
        )
        WHERE status = 'REJECTED'
            AND EXISTS (SELECT FROM jsonb_array_elements(shortfalls) AS line WHERE jsonb_array_length(line) > 4)
        """
    )
    _constrain("account_actions", "kind", ACTIONS)
    _constrain("outgoing_emails", "kind", KINDS)
    _constrain("price_history", "cause", CAUSES)


def _constrain(table: str, column: str, values: str) -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(CONSTRAINT.format(table=table, column=column, values=values))
    connection.exec_driver_sql(VALIDATE.format(table=table, column=column))
