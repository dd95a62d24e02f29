"""The condition for an order line to be a sale, in SQL; see `domain.order.is_sale`."""

from sqlalchemy import ColumnElement, FromClause


def is_sale(orders: FromClause, order_lines: FromClause) -> ColumnElement[bool]:
    """Return the condition for these orders and their lines."""
    return orders.c.buyer_id != order_lines.c.seller_id


def is_sale_in(lines: str) -> str:
    """Return the condition as text, for statements whose order lines have the name `lines`."""
    return f"orders.buyer_id <> {lines}.seller_id"
