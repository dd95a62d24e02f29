"""Which fields of an event a reader may see, as JSON.

Staff see all fields. The buyer sees the whole order, without its sellers. A seller sees the order's lines of their own
products and their refunds, neither the buyer nor other lines. Events are stored without the facts of the order that
never change, and completed with them here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from scalecommerce_core.domain.events import (
    OrderCancelled,
    OrderExpired,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderReserved,
)
from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.order import OrderStatus

STATUSES: Final[Mapping[str, OrderStatus]] = {
    OrderPlaced.topic: OrderStatus.CREATED,
    OrderReserved.topic: OrderStatus.PENDING,
    OrderRejected.topic: OrderStatus.REJECTED,
    OrderPaid.topic: OrderStatus.PAID,
    OrderCancelled.topic: OrderStatus.CANCELLED,
    OrderExpired.topic: OrderStatus.CANCELLED,
}
"""The status of an order after an event, by topic. Two are possible after a refund, so its events store the status."""


@frozen
class EventOrderLine:
    """A line of an order; `price` in minor units per unit."""

    product_id: ProductId
    seller_id: AccountId
    quantity: int
    price: int


@frozen
class EventOrder:
    """The facts of an order that never change; `lines` are at least those that the reader may see."""

    buyer_id: AccountId
    currency: str
    lines: Sequence[EventOrderLine]


def visible_payload(
    topic: str, payload: Mapping[str, Any], order: EventOrder | None, reader: AccountId | None
) -> dict[str, Any]:
    """The `data` of an event as `reader`, an account of its audience, may see it; `reader` None stands for staff.

    `order` is required for the events of orders.
    """
    if "promotion_id" in payload:
        return _of_promotion(payload, reader)
    if order is None:
        return _of_product(payload, reader)
    status = str(payload["status"] if topic == OrderRefunded.topic else STATUSES[topic])
    if reader is None or reader == order.buyer_id:
        return _of_order(status, payload, order, reader, lambda _seller: True)
    return _of_order(status, payload, order, reader, lambda seller: seller == reader)


def _of_product(payload: Mapping[str, Any], reader: AccountId | None) -> dict[str, Any]:
    data: dict[str, Any] = {"product": payload["product_id"]}
    if reader is None:
        data["seller"] = payload["seller_id"]
    for name, value in payload.items():
        if name in AMOUNT_FIELDS:
            data[name] = decimal_text(value, payload["currency"])
        elif name not in {"product_id", "seller_id"}:
            data[name] = value
    return data


def _of_promotion(payload: Mapping[str, Any], reader: AccountId | None) -> dict[str, Any]:
    data: dict[str, Any] = {"promotion": payload["promotion_id"]}
    if reader is None:
        data["seller"] = payload["seller_id"]
    return data | {name: value for name, value in payload.items() if name not in {"promotion_id", "seller_id"}}


def _of_order(
    status: str,
    payload: Mapping[str, Any],
    order: EventOrder,
    reader: AccountId | None,
    concerns: Callable[[AccountId], bool],
) -> dict[str, Any]:
    data: dict[str, Any] = {"order": payload["order_id"], "status": status}
    if reader is None:
        sellers = payload.get("seller_ids") or sorted({line.seller_id for line in order.lines})
        data |= {"buyer": order.buyer_id, "sellers": list(sellers)}
    data["currency"] = order.currency
    data["lines"] = [
        {"product": line.product_id, "quantity": line.quantity, "price": decimal_text(line.price, order.currency)}
        for line in order.lines
        if concerns(line.seller_id)
    ]
    if "refunds" in payload:
        seen = [refund for refund in payload["refunds"] if concerns(refund["seller_id"])]
        data["amount"] = decimal_text(sum(refund["amount"] for refund in seen), order.currency)
        data["refunds"] = [
            {
                "product": refund["product_id"],
                "quantity": refund["quantity"],
                "amount": decimal_text(refund["amount"], order.currency),
            }
            for refund in seen
        ]
    return data


AMOUNT_FIELDS: Final = frozenset({"old", "new"})
"""Fields of product events with amounts: minor units in the stored payload, decimal strings in the result."""
