"""The condition for an order line to be a sale, in SQL; see `domain.order.is_sale`."""

from typing import Final

from sqlalchemy import ColumnElement

from adapters.db.schema import order_lines, orders

IS_SALE: Final[ColumnElement[bool]] = orders.c.buyer_id != order_lines.c.seller_id


def is_sale_in(lines: str) -> str:
    """Return the condition as text, for statements whose order lines have the name `lines`."""
    return f"orders.buyer_id <> {lines}.seller_id"
