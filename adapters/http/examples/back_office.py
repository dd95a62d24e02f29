"""Examples of `operations/api/v1/`, and of the stop of all pricing."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from adapters.http.examples.demo_market import EARLIER, NOW, PAID_ORDER, PRODUCT_OF_PAID_ORDER, SELLER_ID, STAFF_ID
from adapters.http.framework.example import Example
from adapters.http.framework.pagination import PageSchema
from adapters.http.resources.all_orders import (
    MovementSchema,
    PaymentSchema,
    StaffOrderDetailsSchema,
    StaffOrderLineSchema,
    StaffOrderSchema,
    TimelineEntrySchema,
)
from adapters.http.resources.operations import (
    AttentionSchema,
    BacklogsSchema,
    ConsumerLagSchema,
    RetrySchema,
    TroubleItemSchema,
    TroubleSchema,
)
from adapters.http.resources.pricing_stop import PricingStopSchema
from scalecommerce_core.domain.errors import NothingToRetry, PaymentInProgress, TransitionNotAllowed
from scalecommerce_core.domain.order import LINE_ID_SPAN, Action, OrderOrigin, OrderStatus
from scalecommerce_core.domain.payment import PaymentStatus
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries import OrderMoment, TroubleKind
from scalecommerce_core.queries.operations import MEANINGS

_PAYMENT: Final = str(UUID(int=0x4F1C2D3E_8A9B_4C5D_9E6F_7A8B9C0D1E2F))
_PAID_AT: Final = EARLIER + timedelta(minutes=11)
_ORDER: Final = StaffOrderSchema(
    id=PAID_ORDER,
    user=STAFF_ID,
    order_items=[
        StaffOrderLineSchema(
            PAID_ORDER * LINE_ID_SPAN + 1, PRODUCT_OF_PAID_ORDER, SELLER_ID, "Tea pot", 2, "21.99", refunded=0
        )
    ],
    total_amount="43.98",
    currency="USD",
    status=OrderStatus.PAID,
    origin=OrderOrigin.API,
    created_at=EARLIER,
    updated_at=_PAID_AT,
    expires_at=None,
    decided_at=EARLIER + timedelta(seconds=1),
    paid_at=_PAID_AT,
    has_expired=False,
    cancelled_by_staff=False,
    rejected_because=[],
    is_parked=False,
    decide_attempts=0,
    decide_error=None,
)
_PAID: Final = StaffOrderDetailsSchema(
    order=_ORDER,
    timeline=[
        TimelineEntrySchema(OrderMoment.PLACED, EARLIER, "", "43.98", STAFF_ID),
        TimelineEntrySchema(OrderMoment.RESERVED, EARLIER + timedelta(seconds=1), "", None, None),
        TimelineEntrySchema(OrderMoment.PAYMENT_STARTED, _PAID_AT - timedelta(seconds=1), "", "43.98", None),
        TimelineEntrySchema(OrderMoment.PAID, _PAID_AT, "", "43.98", None),
    ],
    payments=[
        PaymentSchema(
            id=_PAYMENT,
            amount="43.98",
            currency="USD",
            method="sandbox-ok",
            status=PaymentStatus.CAPTURED,
            checks=0,
            reference=f"sandbox-{_PAYMENT}",
            reason=None,
            trouble=None,
            created_at=_PAID_AT - timedelta(seconds=1),
            updated_at=_PAID_AT,
            deadline=_PAID_AT + timedelta(seconds=59),
            next_check_at=None,
            refunds=[],
        )
    ],
    refunds=[],
    stock_movements=[MovementSchema(PRODUCT_OF_PAID_ORDER, -2, MovementKind.SALE, _PAID_AT)],
)
_REQUEUED: Final = replace(
    _PAID,
    order=replace(
        _ORDER,
        status=OrderStatus.CREATED,
        updated_at=NOW,
        decided_at=None,
        paid_at=None,
        decide_error="ValueError: the stock of product 462 is locked",
    ),
    timeline=_PAID.timeline[:1],
    payments=[],
    stock_movements=[],
)
_PARKED: Final = TroubleKind.PARKED_ORDER
_CANCELLED: Final = replace(
    _PAID,
    order=replace(
        _ORDER, status=OrderStatus.CANCELLED, updated_at=NOW, paid_at=None, expires_at=None, cancelled_by_staff=True
    ),
    timeline=[*_PAID.timeline[:2], TimelineEntrySchema(OrderMoment.CANCELLED_BY_STAFF, NOW, "", None, None)],
    payments=[],
    stock_movements=[],
)

EXAMPLES: Final[Mapping[str, Example]] = {
    "readAttention": Example(
        responses={
            200: AttentionSchema(
                NOW,
                [
                    TroubleSchema(
                        kind=_PARKED,
                        meaning=MEANINGS[_PARKED].sentence,
                        action=MEANINGS[_PARKED].action,
                        count=1,
                        since=EARLIER,
                        items=[
                            TroubleItemSchema(
                                id=str(PAID_ORDER),
                                name="",
                                since=EARLIER,
                                because="ValueError: the stock of product 462 is locked",
                                order=PAID_ORDER,
                                account=STAFF_ID,
                                tries=5,
                                next_try_at=None,
                            )
                        ],
                    )
                ],
            )
        }
    ),
    "readBacklogs": Example(
        responses={
            200: BacklogsSchema(
                at=NOW,
                undecided_orders=3,
                oldest_undecided=NOW - timedelta(milliseconds=40),
                unnumbered_events=12,
                oldest_unnumbered=NOW - timedelta(milliseconds=700),
                pending_statistics=0,
                open_payments=1,
                open_refunds=0,
                waiting_emails=0,
                waiting_deliveries=2,
                consumers=[ConsumerLagSchema("statistics", 4, NOW - timedelta(seconds=1))],
            )
        }
    ),
    "checkPayment": Example(
        parameters={"payment": _PAYMENT},
        responses={200: RetrySchema(_PAYMENT, 9, NOW)},
        problems=[NothingToRetry(f"Payment {_PAYMENT} is CAPTURED: there is nothing to look up at the gateway.")],
        # All payments of the demo have an outcome.
        is_refused=True,
    ),
    "sendRefund": Example(
        parameters={"refund": _PAYMENT},
        responses={200: RetrySchema(_PAYMENT, 7, NOW)},
        problems=[NothingToRetry(f"Refund {_PAYMENT} is DONE: the gateway has confirmed it.")],
        # All refunds of the demo are confirmed.
        is_refused=True,
    ),
    "sendEmail": Example(
        parameters={"id": 17},
        responses={200: RetrySchema("17", 3, NOW)},
        problems=[NothingToRetry("E-mail 17 is not delayed: it is being sent, or will be in a moment.")],
        # No e-mail of the demo is delayed.
        is_refused=True,
    ),
    "listAllOrders": Example(
        responses={200: PageSchema(next=None, previous=None, results=[_ORDER])},
    ),
    "readOrderDetails": Example(parameters={"id": PAID_ORDER}, responses={200: _PAID}),
    "requeueOrder": Example(
        parameters={"id": PAID_ORDER},
        responses={200: _REQUEUED},
        problems=[NothingToRetry(f"Order {PAID_ORDER} is not parked: it is PAID.")],
        # No order of the demo is parked.
        is_refused=True,
    ),
    "cancelOrderOfAnybody": Example(
        parameters={"id": PAID_ORDER},
        body={"reason": "The address does not exist."},
        responses={200: _CANCELLED},
        problems=[TransitionNotAllowed(PAID_ORDER, OrderStatus.PAID, Action.CANCEL), PaymentInProgress(PAID_ORDER)],
        # The order of the demo is paid.
        is_refused=True,
    ),
    "readPricingStop": Example(responses={200: PricingStopSchema(is_stopped=False)}),
    "stopPricing": Example(responses={200: PricingStopSchema(is_stopped=True)}),
    "resumePricing": Example(responses={200: PricingStopSchema(is_stopped=False)}),
}
