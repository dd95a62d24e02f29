"""Store how the circuit breaker reduced the changes of a run, and the minimum hold of prices by category.

Revision ID: 0040
Revises: 0039
"""

from typing import Final

from alembic import op

revision: Final = "0040"
down_revision: Final = "0039"
branch_labels: Final = None
depends_on: Final = None

# Constant defaults rewrite no row.
UPGRADE: Final = """
ALTER TABLE pricing_runs
    ADD COLUMN capped_move double precision NOT NULL DEFAULT 0,
    ADD COLUMN move_factor double precision NOT NULL DEFAULT 1,
    ADD COLUMN caps_moves boolean NOT NULL DEFAULT false;
ALTER TABLE pricing_ranges ADD COLUMN capped_move double precision NOT NULL DEFAULT 0;
ALTER TABLE categories ADD COLUMN min_hold_seconds integer NOT NULL DEFAULT 0;
"""
# Ranges that the former code decided did not compute it. Its magnitude is at most that of the total.
DECIDED_BEFORE: Final = """
UPDATE pricing_ranges SET capped_move = total_move
WHERE run_id IN (SELECT id FROM pricing_runs WHERE status = 'DECIDING')
"""
DOWNGRADE: Final = """
ALTER TABLE categories DROP COLUMN min_hold_seconds;
ALTER TABLE pricing_ranges DROP COLUMN capped_move;
ALTER TABLE pricing_runs DROP COLUMN capped_move, DROP COLUMN move_factor, DROP COLUMN caps_moves;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)
    op.get_bind().exec_driver_sql(DECIDED_BEFORE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
