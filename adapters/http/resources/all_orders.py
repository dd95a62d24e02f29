"""`operations/api/v1/orders/`: the orders of all accounts, for staff."""

from datetime import datetime
from typing import Final

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageSchema
from adapters.http.resources.account_administration import ReasonBody
from adapters.http.resources.operations import ROOT, TAG, actor
from adapters.http.resources.order_queries import AllOrdersQuery
from adapters.http.resources.orders import ShortfallSchema, to_shortfall_schema
from scalecommerce_core.domain.errors import NotFound, NothingToRetry, PaymentInProgress, TransitionNotAllowed
from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.order import OrderOrigin, OrderStatus
from scalecommerce_core.domain.payment import PaymentStatus, RefundStatus
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries import (
    OrderDetails,
    OrderMoment,
    PaymentRefundView,
    PaymentView,
    StaffOrderView,
)
from scalecommerce_core.services.ordering import CancelOrder

ORDERS: Final = ROOT + "orders/"
ORDER: Final = ORDERS + "{id:id}/"


class StaffOrderLineSchema(msgspec.Struct):
    id: int
    product: int
    seller: int
    name: str
    quantity: int
    price: str
    refunded: int


class StaffOrderSchema(msgspec.Struct):
    """An order as staff see it. `decide_error` is what the last failure of the decision said; `is_parked` means that it
    failed so often that it is not tried any more.
    """

    id: int
    user: int
    order_items: list[StaffOrderLineSchema]
    total_amount: str
    currency: str
    status: OrderStatus
    origin: OrderOrigin
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    decided_at: datetime | None
    paid_at: datetime | None
    has_expired: bool
    cancelled_by_staff: bool
    rejected_because: list[ShortfallSchema]
    is_parked: bool
    decide_attempts: int
    decide_error: str | None


class PaymentRefundSchema(msgspec.Struct):
    """Money that goes back through the gateway; `trouble` says why the last try was not confirmed."""

    id: str
    amount: str
    status: RefundStatus
    tries: int
    trouble: str | None
    created_at: datetime
    next_try_at: datetime | None
    done_at: datetime | None


class PaymentSchema(msgspec.Struct):
    """An attempt to charge for the order. `reason` is why the gateway declined it, `trouble` why its outcome is
    unknown, `reference` the id of the charge at the gateway.
    """

    id: str
    amount: str
    currency: str
    method: str
    status: PaymentStatus
    checks: int
    reference: str | None
    reason: str | None
    trouble: str | None
    created_at: datetime
    updated_at: datetime
    deadline: datetime
    next_check_at: datetime | None
    refunds: list[PaymentRefundSchema]


class RefundSchema(msgspec.Struct):
    """Refunded units; `by` is the account that refunded them, null in imported orders."""

    product: int
    quantity: int
    amount: str
    restocked: bool
    at: datetime
    by: int | None


class MovementSchema(msgspec.Struct):
    product: int
    quantity: int
    kind: MovementKind
    at: datetime


class TimelineEntrySchema(msgspec.Struct):
    """`text` is a cause or reason in words; `amount` in the currency of the order; `by` the account that acted."""

    moment: OrderMoment
    at: datetime
    text: str
    amount: str | None
    by: int | None


class StaffOrderDetailsSchema(msgspec.Struct):
    """An order with all that belongs to it, oldest first; at most 1,000 rows of each kind."""

    order: StaffOrderSchema
    timeline: list[TimelineEntrySchema]
    payments: list[PaymentSchema]
    refunds: list[RefundSchema]
    stock_movements: list[MovementSchema]


class AllOrdersResource:
    """The orders of all accounts."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market

    @OperationSpec(
        method="GET",
        path=ORDERS,
        name="listAllOrders",
        summary="List the orders of all accounts",
        description="Sorted by id or, if only a time is given, by time. A page examines a limited number of orders, so"
        " it may have fewer than `page_size`, or none, although `next` leads to more.",
        responses={200: ResponseSpec(PageSchema[StaffOrderSchema], "Orders, newest first.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def list_all_orders(self, call: Call[None, AllOrdersQuery]) -> Response:
        criteria = call.query.criteria(self._market.currency)
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(self._market.queries.all_orders, page_request, criteria)
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, to_staff_order_schema)
        )

    @OperationSpec(
        method="GET",
        path=ORDER,
        name="readOrderDetails",
        summary="Read an order with its timeline, payments, refunds and stock movements",
        responses={
            200: ResponseSpec(
                StaffOrderDetailsSchema, "The order.", links=[Link("requeueOrder"), Link("cancelOrderOfAnybody")]
            )
        },
        tag=TAG,
        access=Access.STAFF,
    )
    async def read_order_details(self, call: Call[None, None]) -> Response:
        return await self._respond(OrderId(call.id))

    @OperationSpec(
        method="POST",
        path=f"{ORDER}requeue/",
        name="requeueOrder",
        summary="Let a parked order be decided again",
        description="A worker decides it at once. Remove the cause of the failures first: see `decide_error`.",
        responses={200: ResponseSpec(StaffOrderDetailsSchema, "The order, which waits for its decision.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(NothingToRetry,),
    )
    async def requeue_order(self, call: Call[None, None]) -> Response:
        order = await self._dependencies.run_in_thread(self._market.ordering.requeue, OrderId(call.id), actor(call))
        self._dependencies.notifier.orders_placed()
        return await self._respond(order.id)

    @OperationSpec(
        method="POST",
        path=f"{ORDER}cancel/",
        name="cancelOrderOfAnybody",
        summary="Cancel an order of anybody and release its reservation",
        description="By the rules for its buyer (`cancelOrder`). The buyer sees that staff cancelled the order; the"
        " reason is kept in the audit log. Cancelling a cancelled order changes nothing.",
        responses={200: ResponseSpec(StaffOrderDetailsSchema, "The order, with status CANCELLED.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(TransitionNotAllowed, PaymentInProgress),
    )
    async def cancel_order_of_anybody(self, call: Call[ReasonBody, None]) -> Response:
        command = CancelOrder(
            OrderId(call.id),
            call.identity.account_id,
            call.body.reason,
            as_staff=True,
            address=call.client_address,
        )
        order = await self._dependencies.cancel_order.submit(command)
        return await self._respond(order.id)

    async def _respond(self, order_id: OrderId) -> Response:
        found = await self._dependencies.run_in_thread(self._market.queries.order_details, order_id)
        if found is None:
            raise NotFound("order", order_id)
        return json_response(to_order_details_schema(found))


def to_staff_order_schema(view: StaffOrderView) -> StaffOrderSchema:
    order = view.order
    return StaffOrderSchema(
        id=order.id,
        user=order.user,
        order_items=[
            StaffOrderLineSchema(
                line.id,
                line.product,
                line.seller,
                line.name,
                line.quantity,
                decimal_text(line.price, order.currency),
                line.refunded,
            )
            for line in order.lines
        ],
        total_amount=decimal_text(order.total, order.currency),
        currency=order.currency,
        status=order.status,
        origin=view.origin,
        created_at=order.created_at,
        updated_at=order.updated_at,
        expires_at=order.expires_at,
        decided_at=view.decided_at,
        paid_at=view.paid_at,
        has_expired=view.has_expired,
        cancelled_by_staff=order.is_cancelled_by_staff,
        rejected_because=[to_shortfall_schema(short) for short in order.shortfalls],
        is_parked=view.is_parked,
        decide_attempts=view.decide_attempts,
        decide_error=view.decide_error,
    )


def to_order_details_schema(details: OrderDetails) -> StaffOrderDetailsSchema:
    currency = details.view.order.currency
    return StaffOrderDetailsSchema(
        order=to_staff_order_schema(details.view),
        timeline=[
            TimelineEntrySchema(
                entry.moment,
                entry.at,
                entry.text,
                None if entry.amount is None else decimal_text(entry.amount, currency),
                entry.by,
            )
            for entry in details.timeline
        ],
        payments=[_to_payment_schema(payment) for payment in details.payments],
        refunds=[
            RefundSchema(
                refund.product,
                refund.quantity,
                decimal_text(refund.amount, currency),
                refund.restocked,
                refund.at,
                refund.by,
            )
            for refund in details.refunds
        ],
        stock_movements=[MovementSchema(each.product, each.quantity, each.kind, each.at) for each in details.movements],
    )


def _to_payment_schema(payment: PaymentView) -> PaymentSchema:
    return PaymentSchema(
        id=str(payment.id),
        amount=decimal_text(payment.amount, payment.currency),
        currency=payment.currency,
        method=payment.method,
        status=payment.status,
        checks=payment.checks,
        reference=payment.reference,
        reason=payment.reason,
        trouble=payment.trouble,
        created_at=payment.created_at,
        updated_at=payment.updated_at,
        deadline=payment.deadline,
        next_check_at=payment.check_at,
        refunds=[_to_payment_refund_schema(refund, payment.currency) for refund in payment.refunds],
    )


def _to_payment_refund_schema(refund: PaymentRefundView, currency: str) -> PaymentRefundSchema:
    return PaymentRefundSchema(
        id=str(refund.id),
        amount=decimal_text(refund.amount, currency),
        status=refund.status,
        tries=refund.tries,
        trouble=refund.trouble,
        created_at=refund.created_at,
        next_try_at=None if refund.status is RefundStatus.DONE else refund.try_at,
        done_at=refund.done_at,
    )
