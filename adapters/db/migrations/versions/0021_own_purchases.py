"""Rebuild statistics if sellers bought their own products: such purchases no longer count as sales.

From this revision on, amounts have the decimals of their currency by ISO 4217; before, all had two. The migration
refuses a database with amounts in a currency without two decimals, and changes nothing.

Revision ID: 0021
Revises: 0016
"""

from typing import Final

from alembic import op

from scalecommerce_core.domain.currencies import MINOR_DIGITS
from scalecommerce_core.domain.errors import Conflict

revision: Final = "0021"
down_revision: Final = "0016"
branch_labels: Final = None
depends_on: Final = None

# A row without product and order requests a complete rebuild; the fold expects it in the first row.
REBUILD: Final = """
INSERT INTO statistics_owed (id) OVERRIDING SYSTEM VALUE
SELECT (SELECT least(min(id), 1) - 1 FROM statistics_owed)
WHERE EXISTS (
    SELECT FROM order_lines JOIN orders ON orders.id = order_lines.order_id
    WHERE orders.buyer_id = order_lines.seller_id AND orders.paid_at IS NOT NULL
)
"""


CURRENCIES: Final = "SELECT currency FROM products UNION SELECT currency FROM orders ORDER BY currency"


def upgrade() -> None:
    odd = [code for (code,) in op.get_bind().exec_driver_sql(CURRENCIES) if MINOR_DIGITS.get(code) != 2]
    if odd:
        # Charges were made at gateways in the old units, and refunds have to fit them: no factor is right for all.
        raise Conflict(
            f"This database has amounts in {', '.join(odd)}. Releases up to 0.1.0 kept two decimals of every currency;"
            " this one keeps those of ISO 4217, and cannot tell which of the old amounts are right. Nothing was"
            " changed. Export the products with the old release, correct their prices, and import them into a new"
            " database."
        )
    op.get_bind().exec_driver_sql(REBUILD)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(REBUILD)
