"""What sellers bought of themselves is no sale any more: where there was such a thing, statistics are made anew.

From here on amounts have the decimals that ISO 4217 gives their currency. Before, all had two: a database with amounts
in another kind of currency is left as it is, and refused.

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

# A row that names neither a product nor an order asks for everything; the fold looks for it in the first row only.
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
