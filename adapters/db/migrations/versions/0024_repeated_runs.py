"""Keep one row of consecutive pricing runs without effect.

Revision ID: 0024
Revises: 0023
"""

from typing import Final

from alembic import op

revision: Final = "0024"
down_revision: Final = "0023"
branch_labels: Final = None
depends_on: Final = None

# Constant defaults rewrite no row. Runs of earlier releases stay as they are.
UPGRADE: Final = """
ALTER TABLE pricing_runs
    ADD COLUMN repetitions bigint NOT NULL DEFAULT 0,
    ADD COLUMN repeated_since timestamptz,
    ADD COLUMN is_replaced boolean NOT NULL DEFAULT false;
CREATE INDEX pricing_runs_policy_id_id_idx ON pricing_runs (policy_id, id);
CREATE INDEX pricing_runs_replaced_idx ON pricing_runs (id) WHERE is_replaced;
DROP INDEX pricing_runs_policy_id_idx;
"""
DOWNGRADE: Final = """
CREATE INDEX pricing_runs_policy_id_idx ON pricing_runs (policy_id);
DROP INDEX pricing_runs_policy_id_id_idx, pricing_runs_replaced_idx;
ALTER TABLE pricing_runs DROP COLUMN repetitions, DROP COLUMN repeated_since, DROP COLUMN is_replaced;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
