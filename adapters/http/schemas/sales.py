"""Schemas of sales figures."""

from typing import Any

import msgspec

from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.queries import SalesFigures


class SoldSchema(msgspec.Struct):
    """`units` and `revenue` include refunded units; `conversion_rate` is orders per view."""

    views: int
    orders: int
    units: int
    revenue: str
    refunded_units: int
    refunded_amount: str
    conversion_rate: float


def sold_fields(sold: SalesFigures, currency: str) -> dict[str, Any]:
    """The fields of a `SoldSchema`."""
    return {
        "views": sold.views,
        "orders": sold.orders,
        "units": sold.units,
        "revenue": decimal_text(sold.revenue, currency),
        "refunded_units": sold.refunded_units,
        "refunded_amount": decimal_text(sold.refunded_amount, currency),
        "conversion_rate": sold.conversion_rate,
    }
