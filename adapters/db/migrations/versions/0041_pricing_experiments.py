"""Add pricing experiments and the arms of their products.

Revision ID: 0041
Revises: 0040
"""

from typing import Final

from alembic import op

revision: Final = "0041"
down_revision: Final = "0040"
branch_labels: Final = None
depends_on: Final = None

TABLES: Final = """
CREATE SEQUENCE experiment_ids;
CREATE TABLE pricing_experiments (
    id bigint CONSTRAINT pricing_experiments_pk PRIMARY KEY,
    policy_id bigint NOT NULL,
    seller_id bigint NOT NULL CONSTRAINT pricing_experiments_seller_id_fk REFERENCES accounts (id),
    policy_version integer NOT NULL,
    started_at timestamptz NOT NULL,
    epoch_seconds double precision NOT NULL,
    fee double precision NOT NULL,
    seed bigint NOT NULL,
    kind text NOT NULL CONSTRAINT pricing_experiments_kind_known CHECK (kind IN ('hold_out', 'switchback')),
    share double precision NOT NULL,
    weeks integer NOT NULL,
    period_epochs integer NOT NULL,
    burn_in_epochs integer NOT NULL,
    ended_at timestamptz,
    note text NOT NULL,
    measured_at timestamptz,
    result jsonb
);
CREATE INDEX pricing_experiments_seller_id_idx ON pricing_experiments (seller_id);
CREATE INDEX pricing_experiments_policy_id_id_idx ON pricing_experiments (policy_id, id);
-- A policy has at most one experiment that is not ended.
CREATE UNIQUE INDEX pricing_experiments_open_idx ON pricing_experiments (policy_id) WHERE ended_at IS NULL;
CREATE INDEX pricing_experiments_to_measure_idx ON pricing_experiments (id)
    WHERE ended_at IS NULL OR measured_at IS NULL;
-- Written in bulk and therefore without foreign keys.
CREATE TABLE pricing_experiment_products (
    experiment_id bigint NOT NULL,
    product_id bigint NOT NULL,
    is_held_out boolean NOT NULL,
    CONSTRAINT pricing_experiment_products_pk PRIMARY KEY (experiment_id, product_id)
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        "DROP TABLE pricing_experiment_products, pricing_experiments; DROP SEQUENCE experiment_ids"
    )
