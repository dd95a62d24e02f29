"""Store pricing policies as documents; add assignments, policy state, runs and decisions.

Policies of earlier releases kept a stock cover. Each is replaced by an inactive policy with the default strategy, which
its seller must review and activate.

Revision ID: 0009
Revises: 0008
"""

from typing import Final

from alembic import op

revision: Final = "0009"
down_revision: Final = "0008"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
ALTER TABLE pricing_policies RENAME TO pricing_policies_before;
ALTER TABLE pricing_policies_before RENAME CONSTRAINT pricing_policies_pk TO pricing_policies_before_pk;
DROP INDEX pricing_policies_seller_id_idx;
CREATE SEQUENCE run_ids;
CREATE TABLE pricing_policies (
    id BIGINT NOT NULL,
    seller_id BIGINT NOT NULL,
    category_id INTEGER,
    name VARCHAR(100) NOT NULL,
    created_at timestamptz NOT NULL,
    is_active BOOLEAN NOT NULL,
    version INTEGER NOT NULL,
    document JSONB NOT NULL,
    CONSTRAINT pricing_policies_pk PRIMARY KEY (id),
    CONSTRAINT pricing_policies_seller_id_fk FOREIGN KEY(seller_id) REFERENCES accounts (id),
    CONSTRAINT pricing_policies_category_id_fk FOREIGN KEY(category_id) REFERENCES categories (id)
);
CREATE INDEX pricing_policies_seller_id_idx ON pricing_policies (seller_id);
CREATE TABLE pricing_schedules (
    policy_id BIGINT NOT NULL,
    ends_at timestamptz NOT NULL,
    epoch INTEGER NOT NULL,
    is_done BOOLEAN NOT NULL,
    pooled_in INTEGER NOT NULL,
    CONSTRAINT pricing_schedules_pk PRIMARY KEY (policy_id),
    CONSTRAINT pricing_schedules_policy_id_fk FOREIGN KEY(policy_id) REFERENCES pricing_policies (id)
);
CREATE TABLE pricing_assignments (
    product_id BIGINT NOT NULL,
    policy_id BIGINT,
    is_excluded BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pricing_assignments_pk PRIMARY KEY (product_id),
    CONSTRAINT pricing_assignments_product_id_fk FOREIGN KEY(product_id) REFERENCES products (id),
    CONSTRAINT pricing_assignments_policy_id_fk FOREIGN KEY(policy_id) REFERENCES pricing_policies (id)
);
CREATE INDEX pricing_assignments_policy_id_idx ON pricing_assignments (policy_id);
CREATE TABLE pricing_stops (
    name TEXT NOT NULL,
    CONSTRAINT pricing_stops_pk PRIMARY KEY (name)
);
CREATE TABLE pricing_memory (
    policy_id BIGINT NOT NULL,
    block BIGINT NOT NULL,
    content BYTEA NOT NULL,
    CONSTRAINT pricing_memory_pk PRIMARY KEY (policy_id, block)
);
CREATE TABLE pricing_groups (
    policy_id BIGINT NOT NULL,
    category_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    CONSTRAINT pricing_groups_pk PRIMARY KEY (policy_id, category_id, name)
);
CREATE TABLE pricing_runs (
    id BIGINT NOT NULL,
    policy_id BIGINT NOT NULL,
    seller_id BIGINT NOT NULL,
    policy_version INTEGER NOT NULL,
    document JSONB NOT NULL,
    epoch INTEGER NOT NULL,
    trigger TEXT NOT NULL,
    started_at timestamptz NOT NULL,
    products BIGINT NOT NULL,
    is_shadow BOOLEAN NOT NULL,
    learns BOOLEAN NOT NULL,
    within INTEGER,
    is_whole BOOLEAN NOT NULL,
    status TEXT NOT NULL,
    finished_at timestamptz,
    decided BIGINT NOT NULL,
    moves BIGINT NOT NULL,
    large BIGINT NOT NULL,
    total_move DOUBLE PRECISION NOT NULL,
    written BIGINT NOT NULL,
    undone BIGINT NOT NULL,
    note TEXT NOT NULL,
    CONSTRAINT pricing_runs_pk PRIMARY KEY (id),
    CONSTRAINT pricing_runs_status_known CHECK (status IN (
        'DECIDING', 'WRITING', 'DONE', 'STOPPED', 'CANCELLED', 'FAILED', 'ROLLING_BACK', 'ROLLED_BACK'
    )),
    CONSTRAINT pricing_runs_trigger_known CHECK (trigger IN ('schedule', 'command')),
    CONSTRAINT pricing_runs_seller_id_fk FOREIGN KEY(seller_id) REFERENCES accounts (id)
);
CREATE UNIQUE INDEX pricing_runs_at_work_idx ON pricing_runs (policy_id) WHERE status IN ('DECIDING', 'WRITING');
CREATE INDEX pricing_runs_policy_id_idx ON pricing_runs (policy_id);
CREATE INDEX pricing_runs_seller_id_idx ON pricing_runs (seller_id);
CREATE INDEX pricing_runs_unfinished_idx ON pricing_runs (id) WHERE status IN ('DECIDING', 'WRITING', 'ROLLING_BACK');
CREATE TABLE pricing_ranges (
    run_id BIGINT NOT NULL,
    number INTEGER NOT NULL,
    block BIGINT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    products INTEGER NOT NULL,
    status TEXT NOT NULL,
    decided BIGINT NOT NULL,
    moves BIGINT NOT NULL,
    large BIGINT NOT NULL,
    total_move DOUBLE PRECISION NOT NULL,
    decided_at timestamptz,
    written_at timestamptz,
    written INTEGER NOT NULL,
    undone INTEGER NOT NULL,
    head JSONB,
    memory BYTEA,
    groups JSONB,
    CONSTRAINT pricing_ranges_pk PRIMARY KEY (run_id, number),
    CONSTRAINT pricing_ranges_status_known CHECK (status IN ('OPEN', 'DECIDED', 'WRITTEN', 'UNDONE')),
    CONSTRAINT pricing_ranges_run_id_fk FOREIGN KEY(run_id) REFERENCES pricing_runs (id)
)
 WITH (fillfactor = 50);
CREATE TABLE pricing_decisions (
    run_id BIGINT NOT NULL,
    product_id BIGINT NOT NULL,
    old_price BIGINT NOT NULL,
    new_price BIGINT NOT NULL,
    wanted DOUBLE PRECISION NOT NULL,
    motive INTEGER NOT NULL,
    guardrails INTEGER NOT NULL,
    priced_at timestamptz NOT NULL,
    inputs BYTEA NOT NULL,
    outcome SMALLINT DEFAULT 0 NOT NULL,
    CONSTRAINT pricing_decisions_pk PRIMARY KEY (run_id, product_id)
);
ALTER TABLE pricing_memory ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE pricing_ranges ALTER COLUMN memory SET STORAGE EXTERNAL;
INSERT INTO pricing_policies (id, seller_id, category_id, name, created_at, is_active, version, document)
SELECT id, seller_id, category_id, name, created_at, false, 1,
       jsonb_build_object('name', name, 'category_id', category_id, 'is_active', false)
FROM pricing_policies_before;
INSERT INTO pricing_schedules (policy_id, ends_at, epoch, is_done, pooled_in)
SELECT id, created_at, -1, true, 0 FROM pricing_policies;
DROP TABLE pricing_policies_before;
"""

DOWNGRADE: Final = """
DROP TABLE pricing_decisions, pricing_ranges, pricing_runs, pricing_groups, pricing_memory, pricing_stops,
    pricing_assignments, pricing_schedules;
DROP SEQUENCE run_ids;
ALTER TABLE pricing_policies
    DROP COLUMN version,
    DROP COLUMN document,
    ADD COLUMN target_cover_days INTEGER DEFAULT 30 NOT NULL,
    ADD COLUMN window_days INTEGER DEFAULT 28 NOT NULL,
    ADD COLUMN max_step DOUBLE PRECISION DEFAULT 0.05 NOT NULL,
    ADD COLUMN least_units INTEGER DEFAULT 5 NOT NULL,
    ADD CONSTRAINT pricing_policies_days_range
        CHECK (target_cover_days >= 1 AND window_days >= 1 AND least_units >= 1),
    ADD CONSTRAINT pricing_policies_max_step_range CHECK (max_step BETWEEN 0 AND 0.5);
ALTER TABLE pricing_policies ALTER target_cover_days DROP DEFAULT, ALTER window_days DROP DEFAULT,
    ALTER max_step DROP DEFAULT, ALTER least_units DROP DEFAULT;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
