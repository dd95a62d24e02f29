"""Store the ids of the change log uncompressed.

Compression took a microsecond for each id, and rows are deleted after a few minutes.

Revision ID: 0068
Revises: 0067
"""

from typing import Final

from alembic import op

revision: Final = "0068"
down_revision: Final = "0067"
branch_labels: Final = None
depends_on: Final = None

UPGRADE: Final = """
ALTER TABLE change_log ALTER COLUMN products SET STORAGE EXTERNAL;
"""
DOWNGRADE: Final = """
ALTER TABLE change_log ALTER COLUMN products SET STORAGE EXTENDED;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
