"""What counts as a sale, in SQL: the rule of `domain.order.is_sale`."""

from typing import Final

from sqlalchemy import ColumnElement

from adapters.db.schema import order_lines, orders

IS_SALE: Final[ColumnElement[bool]] = orders.c.buyer_id != order_lines.c.seller_id


def is_sale_in(lines: str) -> str:
    """The same as text, for statements that join `orders` with order lines of another name."""
    return f"orders.buyer_id <> {lines}.seller_id"
