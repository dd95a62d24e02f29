"""Store the name under which products show their seller, instead of the e-mail address.

Revision ID: 0029
Revises: 0028
"""

from typing import Final

from alembic import op

revision: Final = "0029"
down_revision: Final = "0028"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    # A constant default rewrites no row. Empty names are derived from first and last name when products are read.
    op.get_bind().exec_driver_sql("ALTER TABLE accounts ADD COLUMN display_name varchar(100) NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE accounts DROP COLUMN display_name")
