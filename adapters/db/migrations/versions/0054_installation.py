"""Give each installation an id; bind the operator of pg_trgm when the schema is made.

The id distinguishes installations that are given the same Redis database. The function makes statements independent of
the schema of the extension, which is outside of the search path of an installation in a schema of its own.

Revision ID: 0054
Revises: 0053
"""

from typing import Final

from alembic import op

revision: Final = "0054"
down_revision: Final = "0053"
branch_labels: Final = None
depends_on: Final = None

# The planner replaces the call by the operator, so that it uses the index, whose collation is "C".
UPGRADE: Final = """
CREATE TABLE installation (
    singleton boolean NOT NULL CONSTRAINT installation_one_row CHECK (singleton),
    id uuid NOT NULL,
    CONSTRAINT installation_pk PRIMARY KEY (singleton)
);
INSERT INTO installation (singleton, id) VALUES (true, gen_random_uuid());
CREATE FUNCTION is_spelled_like(first_word text, second_word text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN first_word COLLATE "C" % second_word;
"""
DOWNGRADE: Final = """
DROP FUNCTION is_spelled_like;
DROP TABLE installation;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE.replace("%", "%%"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
