"""Store how the circuit breaker reduced the changes of a run, approvals, and the minimum hold of categories.

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
ALTER TABLE pricing_policies ADD COLUMN edited_by bigint;
ALTER TABLE pricing_runs
    ADD COLUMN edited_by bigint,
    ADD COLUMN approval_until timestamptz,
    ADD COLUMN reviewed_by bigint,
    ADD COLUMN reviewed_at timestamptz,
    ADD COLUMN ends_as text NOT NULL DEFAULT 'DONE';
"""
STATUSES: Final = "'DECIDING', 'WRITING', 'DONE', 'STOPPED', 'CANCELLED', 'FAILED', 'ROLLING_BACK', 'ROLLED_BACK'"
WAITING: Final = "'AWAITING_APPROVAL', 'DECLINED', 'EXPIRED'"
# Validated apart: adding a constraint blocks all readers, its validation does not. The indexes contain only unfinished
# runs, so building them is quick.
CONSTRAINT: Final = """
ALTER TABLE pricing_runs DROP CONSTRAINT pricing_runs_status_known,
    ADD CONSTRAINT pricing_runs_status_known CHECK (status IN ({statuses})) NOT VALID;
DROP INDEX pricing_runs_at_work_idx, pricing_runs_unfinished_idx;
CREATE UNIQUE INDEX pricing_runs_at_work_idx ON pricing_runs (policy_id)
    WHERE status IN ({at_work});
CREATE INDEX pricing_runs_unfinished_idx ON pricing_runs (id) WHERE status IN ({at_work}, 'ROLLING_BACK');
"""
VALIDATE: Final = "ALTER TABLE pricing_runs VALIDATE CONSTRAINT pricing_runs_status_known"
# The former code knows no approval: such runs changed no price. It would write the decided prices of a limited run
# without the limits.
FORGET: Final = """
UPDATE pricing_runs SET status = 'CANCELLED', finished_at = coalesce(finished_at, now())
WHERE status IN ('AWAITING_APPROVAL', 'DECLINED', 'EXPIRED')
   OR (status = 'WRITING' AND (ends_as <> 'DONE' OR move_factor < 1 OR caps_moves))
"""
# Ranges that the former code decided did not compute it. Its magnitude is at most that of the total.
DECIDED_BEFORE: Final = """
UPDATE pricing_ranges SET capped_move = total_move
WHERE run_id IN (SELECT id FROM pricing_runs WHERE status = 'DECIDING')
"""
DOWNGRADE: Final = """
ALTER TABLE categories DROP COLUMN min_hold_seconds;
ALTER TABLE pricing_ranges DROP COLUMN capped_move;
ALTER TABLE pricing_policies DROP COLUMN edited_by;
ALTER TABLE pricing_runs DROP COLUMN capped_move, DROP COLUMN move_factor, DROP COLUMN caps_moves,
    DROP COLUMN edited_by, DROP COLUMN approval_until, DROP COLUMN reviewed_by, DROP COLUMN reviewed_at,
    DROP COLUMN ends_as;
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(UPGRADE)
    connection.exec_driver_sql(DECIDED_BEFORE)
    at_work = "'DECIDING', 'AWAITING_APPROVAL', 'WRITING'"
    connection.exec_driver_sql(CONSTRAINT.format(statuses=f"{STATUSES}, {WAITING}", at_work=at_work))
    connection.exec_driver_sql(VALIDATE)


def downgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(FORGET)
    connection.exec_driver_sql(CONSTRAINT.format(statuses=STATUSES, at_work="'DECIDING', 'WRITING'"))
    connection.exec_driver_sql(VALIDATE)
    connection.exec_driver_sql(DOWNGRADE)
