"""Words that nothing is sold as are looked up by the index; how much stock is left is known to the planner.

Revision ID: 0013
Revises: 0012
"""

from typing import Final

from alembic import op

revision: Final = "0013"
down_revision: Final = "0012"
branch_labels: Final = None
depends_on: Final = None

# The planner takes any word that is not among the most frequent ones for one that a few products in a thousand may
# have, and of a catalogue of few words it would rather read all products until it meets it. Most of the words that
# this is asked about are nowhere.
IS_SOLD_AS: Final = """
CREATE FUNCTION is_sold_as(word text) RETURNS boolean
    LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
    SET enable_seqscan = off SET enable_indexscan = off
    RETURN EXISTS (SELECT FROM products WHERE is_active AND document @@ phraseto_tsquery('market', word) OFFSET 0);
"""
# Without them it takes a third of all products for those that are in stock.
AVAILABLE: Final = "CREATE STATISTICS stock_available ON (on_hand - reserved) FROM stock"


def upgrade() -> None:
    for statement in (IS_SOLD_AS, AVAILABLE, "ANALYZE stock"):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    for statement in ("DROP STATISTICS stock_available", "DROP FUNCTION is_sold_as"):
        op.get_bind().exec_driver_sql(statement)
