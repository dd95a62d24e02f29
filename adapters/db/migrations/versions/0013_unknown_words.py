"""Look up unknown words with the index; add statistics of available stock for the planner.

Revision ID: 0013
Revises: 0012
"""

from typing import Final

from alembic import op

revision: Final = "0013"
down_revision: Final = "0012"
branch_labels: Final = None
depends_on: Final = None

# The planner assumes that a word outside its most frequent ones occurs in some of a thousand products. For a catalog of
# few words it would scan all products until it finds one. Most words that this function is called with occur nowhere,
# so it forces the use of the index.
IS_SOLD_AS: Final = """
CREATE FUNCTION is_sold_as(word text) RETURNS boolean
    LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 10000
    SET enable_seqscan = off SET enable_indexscan = off
    RETURN EXISTS (SELECT FROM products WHERE is_active AND document @@ phraseto_tsquery('market', word) OFFSET 0);
"""
# Without these statistics the planner assumes that a third of all products are in stock.
AVAILABLE: Final = "CREATE STATISTICS stock_available ON (on_hand - reserved) FROM stock"


def upgrade() -> None:
    for statement in (IS_SOLD_AS, AVAILABLE, "ANALYZE stock"):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    for statement in ("DROP STATISTICS stock_available", "DROP FUNCTION is_sold_as"):
        op.get_bind().exec_driver_sql(statement)
