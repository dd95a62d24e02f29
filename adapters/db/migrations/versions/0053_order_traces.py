"""Add a table of the trace contexts of undecided orders, which only deployments with traces write.

Revision ID: 0053
Revises: 0051
"""

from typing import Final

from alembic import op

revision: Final = "0053"
down_revision: Final = "0051"
branch_labels: Final = None
depends_on: Final = None
# Code of earlier revisions does not read this mark, and refuses the tables of a newer release.
compatible_since: Final = "0053"

UPGRADE: Final = """
CREATE UNLOGGED TABLE order_traces (
    order_id bigint CONSTRAINT order_traces_pk PRIMARY KEY,
    request varchar(55) NOT NULL,
    taken_at timestamp with time zone NOT NULL
);
"""
DOWNGRADE: Final = """
DROP TABLE order_traces;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
