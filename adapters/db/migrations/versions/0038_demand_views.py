"""Count, for each price, weighted views in stock and imported sales, from which pricing learns.

Revision ID: 0038
Revises: 0037
"""

from typing import Final

from alembic import op

revision: Final = "0038"
down_revision: Final = "0037"
branch_labels: Final = None
depends_on: Final = None

# Constant defaults rewrite no row.
COLUMNS: Final = """
ALTER TABLE price_sales
    ADD COLUMN demand_views bigint NOT NULL DEFAULT 0,
    ADD COLUMN past_orders bigint NOT NULL DEFAULT 0,
    ADD COLUMN past_units bigint NOT NULL DEFAULT 0,
    ADD COLUMN past_revenue numeric NOT NULL DEFAULT 0,
    ADD COLUMN past_refunded_units bigint NOT NULL DEFAULT 0,
    ADD COLUMN past_refunded_amount numeric NOT NULL DEFAULT 0
"""
# Weights and stock-outs of earlier views are known per product only, not per price.
VIEWS: Final = "UPDATE price_sales SET demand_views = views WHERE views > 0"
# A row without product and order requests a complete rebuild; the fold expects it in the first row.
REBUILD: Final = """
INSERT INTO statistics_pending (id) OVERRIDING SYSTEM VALUE
SELECT (SELECT least(min(id), 1) - 1 FROM statistics_pending)
WHERE EXISTS (SELECT FROM product_sales WHERE past_orders > 0 OR past_refunded_units > 0)
"""
DROP: Final = """
ALTER TABLE price_sales
    DROP COLUMN demand_views, DROP COLUMN past_orders, DROP COLUMN past_units, DROP COLUMN past_revenue,
    DROP COLUMN past_refunded_units, DROP COLUMN past_refunded_amount
"""


def upgrade() -> None:
    for statement in (COLUMNS, VIEWS, REBUILD):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DROP)
