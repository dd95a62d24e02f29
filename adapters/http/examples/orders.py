"""Examples of `orders/api/v1/`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from adapters.http.examples.demo_market import (
    CANCELLED_ORDER,
    EARLIER,
    NEW_ORDER,
    NOW,
    PAID_ORDER,
    PRODUCT,
    PRODUCT_OF_PAID_ORDER,
    STAFF_ID,
)
from adapters.http.framework.example import Example
from adapters.http.framework.pagination import PageSchema
from adapters.http.resources.orders import (
    OrderItem,
    OrderRefundSchema,
    OrderSchema,
    QuoteListSchema,
    QuoteSchema,
    Sale,
)
from scalecommerce_core.domain.errors import Forbidden, TransitionNotAllowed
from scalecommerce_core.domain.order import LINE_ID_SPAN, OrderStatus


def _line(order: int, position: int, product: int, quantity: int, price: str) -> OrderItem:
    return OrderItem(order * LINE_ID_SPAN + position, product, quantity, price, 0)


_NEW: Final = OrderSchema(
    id=NEW_ORDER,
    user=STAFF_ID,
    order_items=[_line(NEW_ORDER, 1, PRODUCT, 2, "264.99")],
    total_amount="529.98",
    currency="USD",
    status=OrderStatus.CREATED,
    created_at=NOW,
    updated_at=NOW,
    expires_at=None,
)
_PAID: Final = OrderSchema(
    id=PAID_ORDER,
    user=STAFF_ID,
    order_items=[
        _line(PAID_ORDER, 1, PRODUCT_OF_PAID_ORDER, 2, "21.99"),
        _line(PAID_ORDER, 2, 377, 1, "29.99"),
    ],
    total_amount="73.97",
    currency="USD",
    status=OrderStatus.PAID,
    created_at=EARLIER,
    updated_at=EARLIER + timedelta(minutes=11),
    expires_at=None,
)
_REFUNDED: Final = OrderRefundSchema(
    id=PAID_ORDER,
    order_items=[replace(_PAID.order_items[0], refunded=1), _PAID.order_items[1]],
    currency="USD",
    status=OrderStatus.PAID,
    updated_at=NOW,
)
_CANCELLED: Final = OrderSchema(
    id=CANCELLED_ORDER,
    user=STAFF_ID,
    order_items=[_line(CANCELLED_ORDER, 1, 132, 1, "38.99")],
    total_amount="38.99",
    currency="USD",
    status=OrderStatus.CANCELLED,
    created_at=EARLIER,
    updated_at=EARLIER + timedelta(minutes=4),
    expires_at=None,
)
_PAID_ID: Final = {"id": PAID_ORDER}

EXAMPLES: Final[Mapping[str, Example]] = {
    "listOrders": Example(responses={200: PageSchema(next=None, previous=None, results=[_PAID])}),
    "placeOrder": Example(
        body={"order_item": [{"product": PRODUCT, "quantity": 2}]},
        alternatives={
            "With the price that the buyer saw": {
                "order_item": [{"product": PRODUCT, "quantity": 1, "price": "249.90"}]
            },
            "More than the stock: the order will be REJECTED": {"order_item": [{"product": PRODUCT, "quantity": 900}]},
        },
        responses={
            201: replace(
                _NEW,
                status=OrderStatus.PENDING,
                updated_at=NOW + timedelta(milliseconds=120),
                expires_at=NOW + timedelta(minutes=15),
            ),
            202: _NEW,
        },
        invalid_body={"order_item": [{"product": PRODUCT, "quantity": 0}]},
    ),
    "quotePrices": Example(
        body={"order_item": [{"product": PRODUCT, "quantity": 2}]},
        responses={
            200: QuoteListSchema(
                [
                    QuoteSchema(
                        product=PRODUCT,
                        quantity=2,
                        price="264.99",
                        currency="USD",
                        expires_at=NOW + timedelta(minutes=10),
                        quote="MSAxIDI2NDk5IFVTRCAyIDE3NzQwMDAwMDA.Jm9mIFvpXc1b0ZkGm0cU5sX3m1tq2w8uQeJ7Rr4hN0s",
                    )
                ]
            )
        },
        invalid_body={"order_item": [{"product": PRODUCT, "quantity": 0}]},
    ),
    "listSales": Example(
        responses={
            200: PageSchema(
                next=None,
                previous=None,
                results=[
                    Sale(
                        id=NEW_ORDER * LINE_ID_SPAN + 1,
                        order=NEW_ORDER,
                        product=PRODUCT,
                        name="Robust Toaster 915",
                        quantity=2,
                        price="264.99",
                        refunded=0,
                        currency="USD",
                        status=OrderStatus.PAID,
                        created_at=NOW,
                    )
                ],
            )
        }
    ),
    "readOrder": Example(parameters=_PAID_ID, responses={200: _PAID}),
    "payOrder": Example(
        parameters=_PAID_ID,
        body={"payment_method": "sandbox-ok"},
        alternatives={"Declined by the sandbox gateway, if not paid yet": {"payment_method": "sandbox-declined"}},
        responses={200: _PAID},
        invalid_body={"payment_method": "4242 4242 4242 4242"},
    ),
    "cancelOrder": Example(
        parameters={"id": CANCELLED_ORDER},
        responses={200: _CANCELLED},
        problems=[TransitionNotAllowed(PAID_ORDER, OrderStatus.PAID, "be cancelled")],
    ),
    "refundOrder": Example(
        parameters=_PAID_ID,
        body={"lines": [{"product": PRODUCT_OF_PAID_ORDER, "quantity": 1}], "restock": True},
        responses={201: _REFUNDED},
        problems=[
            Forbidden("Only staff, or the seller of these products, may refund them."),
            TransitionNotAllowed(CANCELLED_ORDER, OrderStatus.CANCELLED, "be refunded"),
        ],
    ),
}
