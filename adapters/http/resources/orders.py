"""`orders/api/v1/`: orders, payments, cancellations, refunds and sales."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.idempotency_key import build_idempotency_key, response_body
from adapters.http.framework.money_fields import Price
from adapters.http.framework.openapi import LOCATION
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.framework.prefer_header import PREFER, PREFERENCE_APPLIED, parse_wait
from adapters.http.framework.text_fields import ANY_TEXT
from adapters.http.resources.order_queries import SaleQuery
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import (
    Forbidden,
    GatewayUnavailable,
    NotFound,
    OrderBacklogFull,
    PaymentDeclined,
    PaymentInProgress,
    PaymentTooLate,
    PriceMoved,
    Refused,
    TooManyOpenOrders,
    TransitionNotAllowed,
    Unavailable,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.money import decimal_text
from scalecommerce_core.domain.order import (
    LINE_ID_SPAN,
    MAX_LINES,
    MAX_QUANTITY,
    Order,
    OrderLine,
    OrderStatus,
    RefundLine,
    RejectionReason,
    Shortfall,
)
from scalecommerce_core.domain.payment import DEFAULT_METHOD, MAX_TEXT
from scalecommerce_core.queries import OrderView, SaleView
from scalecommerce_core.services.order_lines import OrderLineRequest, QuotePrices, SignedQuote
from scalecommerce_core.services.ordering import CancelOrder, PlaceOrder, RefundOrder
from scalecommerce_core.services.payments import PayOrder
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.services.verified_accounts import EmailNotVerified

ROOT: Final = "/orders/api/v1/"
ORDER: Final = ROOT + "{id:id}/"
TAG: Final = "Orders"
MAX_LINES_BYTES: Final = 64 * 1024
"""A body of 100 lines, also indented, has at most about 20,000 bytes."""

PAYMENT_ERRORS: Final = (
    TransitionNotAllowed, PaymentInProgress, PaymentDeclined, PaymentTooLate, GatewayUnavailable, Refused
)  # fmt: skip

POLL_SECONDS: Final = (0.01, 0.02, 0.03, 0.05, 0.1)
"""Pauses between reads of an order during `Prefer: wait`; the last one repeats."""

ProductNumber = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1, description="Id of a product.", examples=[1])]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=MAX_QUANTITY, examples=[2])]


QuoteText = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=300,
        examples=["MSAxIDI2NDk5IFVTRCAyIDE3NzQwMDAwMDA.Jm9mIFvpXc1b0ZkGm0cU5sX3m1tq2w8uQeJ7Rr4hN0s"],
        description="The `quote` of a price quote (`quotePrices`) for this product.",
        extra_json_schema={"pattern": ANY_TEXT},
    ),
]


class NewOrderItem(msgspec.Struct, omit_defaults=True):
    product: ProductNumber
    quantity: Quantity
    price: Annotated[
        Price | None,
        msgspec.Meta(
            description="The price that the buyer saw; a 409 if it is neither current nor promised for this quantity."
        ),
    ] = None
    quote: QuoteText | None = None


class QuoteRequestItem(msgspec.Struct):
    product: ProductNumber
    quantity: Quantity


class QuoteRequest(msgspec.Struct):
    order_item: Annotated[list[QuoteRequestItem], msgspec.Meta(min_length=1, max_length=MAX_LINES)]


class QuoteSchema(msgspec.Struct):
    """The unit `price` for at most `quantity` units; `quote` is for the same field of an order line of the caller."""

    product: int
    quantity: int
    price: str
    currency: str
    expires_at: datetime
    quote: str


class QuoteListSchema(msgspec.Struct):
    quotes: list[QuoteSchema]


class NewOrder(msgspec.Struct):
    order_item: Annotated[list[NewOrderItem], msgspec.Meta(min_length=1, max_length=MAX_LINES)]


class OrderItem(msgspec.Struct):
    """`name` is the present name of the product, if the request asks for `names`."""

    id: int
    product: int
    quantity: int
    price: str
    refunded: int
    name: str | UnsetType = UNSET


class ShortfallSchema(msgspec.Struct):
    """A rejected line: `available` are the units that the buyer could have ordered; `detail` is for people."""

    product: int
    wanted: int
    available: int
    reason: RejectionReason
    detail: str


class OrderSchema(msgspec.Struct):
    """`rejected_because` lists the lines that caused a rejection; `expires_at` is the end of an unpaid reservation.
    `cancelled_by_staff` is present, and true, if staff cancelled the order instead of its buyer.
    """

    id: int
    user: int
    order_items: list[OrderItem]
    total_amount: str
    currency: str
    status: OrderStatus
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    rejected_because: list[ShortfallSchema] | UnsetType = UNSET
    cancelled_by_staff: bool | UnsetType = UNSET


class OrderRefundSchema(msgspec.Struct):
    """The response to a refund: the order without its buyer, with the lines that the caller may refund.

    Those are all lines for staff, and their own for sellers.
    """

    id: int
    order_items: list[OrderItem]
    currency: str
    status: OrderStatus
    updated_at: datetime


class PaymentBody(msgspec.Struct):
    payment_method: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=MAX_TEXT,
            pattern="^[!-~]+$",
            description="A token of the payment gateway, never a card number.",
            examples=["sandbox-ok"],
        ),
    ] = DEFAULT_METHOD


class RefundItem(msgspec.Struct):
    product: ProductNumber
    quantity: Quantity


class RefundBody(msgspec.Struct, omit_defaults=True):
    lines: Annotated[list[RefundItem], msgspec.Meta(min_length=1, max_length=MAX_LINES)]
    restock: bool = True


Names = Annotated[
    bool,
    msgspec.Meta(
        description="true: the lines contain the names of the products, also of withdrawn ones.", examples=[True]
    ),
]


class OrdersQuery(PageQuery, kw_only=True, frozen=True):
    names: Names = False


class OrderQuery(msgspec.Struct, frozen=True):
    names: Names = False


class Sale(msgspec.Struct):
    """An order line with a product of the caller."""

    id: int
    order: int
    product: int
    name: str
    quantity: int
    price: str
    refunded: int
    currency: str
    status: OrderStatus
    created_at: datetime


LINKS: Final = [Link("readOrder"), Link("payOrder"), Link("cancelOrder"), Link("refundOrder")]


class OrderResource:
    """Orders of the caller, and sales of the caller's products."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market

    @OperationSpec(
        method="GET",
        path=ROOT,
        name="listOrders",
        summary="List the caller's orders",
        responses={200: ResponseSpec(PageSchema[OrderSchema], "Orders, newest first.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.ORDERS_READ,
    )
    async def list_orders(self, call: Call[None, OrdersQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(
            self._market.queries.orders_of_buyer, call.identity.account_id, page_request
        )
        to_schema = partial(view_to_order_schema, names=call.query.names)
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, to_schema))

    @OperationSpec(
        method="POST",
        path=ROOT,
        name="placeOrder",
        summary="Place an order",
        description="The order is stored before the response is sent. The stock of all lines is reserved, or the order"
        " is rejected: usually before the response; a moment later, by a background process, if other orders are being"
        " decided or the stock is being changed. Quantities of the same product are added up. While more orders wait"
        " for their decision than can be decided in time, new ones are answered with a 503 `order_backlog_full`, whose"
        " `Retry-After` is the time in which the waiting ones should be decided; a repeated request with the"
        " `Idempotency-Key` of an accepted order gets its response.",
        responses={
            201: ResponseSpec(
                OrderSchema, "With `Prefer: wait`: the decided order.", [LOCATION, PREFERENCE_APPLIED], LINKS
            ),
            202: ResponseSpec(
                OrderSchema, "The order is accepted; its status is CREATED until it is decided.", [LOCATION], LINKS
            ),
        },
        tag=TAG,
        max_body_bytes=MAX_LINES_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.ORDERS_WRITE,
        headers=[PREFER],
        idempotent=True,
        errors=(PriceMoved, TooManyOpenOrders, EmailNotVerified, OrderBacklogFull),
    )
    async def place_order(self, call: Call[NewOrder, None]) -> Response:
        command = PlaceOrder(
            id=self._dependencies.ids.command(),
            owner=call.identity.account_id,
            lines=[
                OrderLineRequest(
                    ProductId(item.product),
                    item.quantity,
                    None if item.price is None else item.price.as_text(),
                    item.quote,
                )
                for item in call.body.order_item
            ],
            idempotency=await build_idempotency_key(call, encode_order),
        )
        outcome = await self._dependencies.place_order.submit(command)
        if isinstance(outcome, Replayed):
            body, number = outcome.body, OrderId(msgspec.json.decode(outcome.body, type=OrderSchema).id)
        else:
            body, number = encode_order(outcome), outcome.id
            if outcome.status is OrderStatus.CREATED:
                self._dependencies.notifier.orders_placed()
        headers = {"Location": f"{ROOT}{number}/"}
        seconds = parse_wait(call.request.headers)
        if seconds is not None:
            headers["Preference-Applied"] = f"wait={seconds}"
            if isinstance(outcome, Order) and outcome.status is not OrderStatus.CREATED:
                return Response(body, 201, headers, "application/json")
            try:
                view = await self._wait_for_decision(number, seconds)
            except Unavailable:
                # The order is stored; after an error response the client would send it again.
                return Response(body, 202, headers, "application/json")
            if view.status is not OrderStatus.CREATED:
                return json_response(view_to_order_schema(view), 201, headers)
        return Response(body, 202, headers, "application/json")

    @OperationSpec(
        method="POST",
        path=f"{ROOT}quotes/",
        name="quotePrices",
        summary="Quote the current prices",
        description="A quote is a signed promise of the current price to the caller, until `expires_at` and for at most"
        " `quantity` units. It holds even if the price was in force for a moment only, unless the seller withdraws the"
        " price.",
        responses={200: ResponseSpec(QuoteListSchema, "A quote for each item.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.ORDERS_WRITE,
    )
    async def quote_prices(self, call: Call[QuoteRequest, None]) -> Response:
        lines = [OrderLineRequest(ProductId(item.product), item.quantity) for item in call.body.order_item]
        command = QuotePrices(call.identity.account_id, lines)
        quotes = unwrap_single(await self._dependencies.run_in_thread(self._market.ordering.quote_prices, [command]))
        return json_response(QuoteListSchema([_to_quote_schema(signed) for signed in quotes]))

    @OperationSpec(
        method="GET",
        path=f"{ROOT}sales/",
        name="listSales",
        summary="List sales of the caller's products",
        responses={200: ResponseSpec(PageSchema[Sale], "Sales, newest first.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.ORDERS_READ,
    )
    async def list_sales(self, call: Call[None, SaleQuery]) -> Response:
        page_request = self._dependencies.paginator.parse_request(call.request, call.query)
        page = await self._dependencies.run_in_thread(
            self._market.queries.sales, call.identity.account_id, page_request, call.query.criteria()
        )
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, to_sale_schema))

    @OperationSpec(
        method="GET",
        path=ORDER,
        name="readOrder",
        summary="Read an order; for its buyer and staff",
        responses={200: ResponseSpec(OrderSchema, "The order.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.ORDERS_READ,
    )
    async def read_order(self, call: Call[None, OrderQuery]) -> Response:
        return json_response(view_to_order_schema(await self._load_visible_order(call), names=call.query.names))

    @OperationSpec(
        method="POST",
        path=f"{ORDER}pay/",
        name="payOrder",
        summary="Pay for an order",
        description="The reservation becomes a sale. Repeating the request does not charge twice. A charge is completed"
        " and recorded even if the client disconnects. A 503 means that the payment gateway has not responded yet: read"
        " the order later for the result.",
        responses={200: ResponseSpec(OrderSchema, "The order, with status PAID.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.ORDERS_WRITE,
        errors=PAYMENT_ERRORS,
    )
    async def pay_order(self, call: Call[PaymentBody | None, None]) -> Response:
        method = DEFAULT_METHOD if call.body is None else call.body.payment_method
        command = PayOrder(OrderId(call.id), call.identity.account_id, method)
        return json_response(to_order_schema(await self._dependencies.payment_runner.pay(command)))

    @OperationSpec(
        method="POST",
        path=f"{ORDER}cancel/",
        name="cancelOrder",
        summary="Cancel an order and release its reservation",
        description="Cancelling a cancelled order changes nothing.",
        responses={200: ResponseSpec(OrderSchema, "The order, with status CANCELLED.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.ORDERS_WRITE,
        errors=(TransitionNotAllowed, PaymentInProgress),
    )
    async def cancel_order(self, call: Call[None, None]) -> Response:
        command = CancelOrder(OrderId(call.id), call.identity.account_id)
        return json_response(to_order_schema(await self._dependencies.cancel_order.submit(command)))

    @OperationSpec(
        method="POST",
        path=f"{ORDER}refunds/",
        name="refundOrder",
        summary="Refund units of an order",
        description="Staff may refund all lines, sellers the lines with their products; the response shows the same"
        " lines. `restock` returns the units to the stock.",
        responses={201: ResponseSpec(OrderRefundSchema, "The lines of the order that the caller may refund.")},
        tag=TAG,
        max_body_bytes=MAX_LINES_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.ORDERS_WRITE,
        idempotent=True,
        errors=(Forbidden, TransitionNotAllowed),
    )
    async def refund_order(self, call: Call[RefundBody, None]) -> Response:
        encode = partial(encode_order_refund, seller=None if call.identity.is_staff else call.identity.account_id)
        command = RefundOrder(
            order_id=OrderId(call.id),
            owner=call.identity.account_id,
            lines=[RefundLine(ProductId(line.product), line.quantity) for line in call.body.lines],
            restock=call.body.restock,
            as_staff=call.identity.is_staff,
            address=call.client_address,
            idempotency=await build_idempotency_key(call, encode),
        )
        outcome = await self._dependencies.refund_order.submit(command)
        return Response(response_body([outcome], encode), 201, media_type="application/json")

    async def _load_visible_order(self, call: Call[Any, Any]) -> OrderView:
        view = await self._dependencies.load_order.submit(OrderId(call.id))
        if view.user != call.identity.account_id and not call.identity.is_staff:
            raise NotFound("order", call.id)
        return view

    async def _wait_for_decision(self, number: OrderId, seconds: float) -> OrderView:
        """The decided order, or the undecided one after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        pauses = iter(POLL_SECONDS)
        while True:
            view = await self._dependencies.load_order.submit(number)
            left = deadline - asyncio.get_running_loop().time()
            if view.status is not OrderStatus.CREATED or left <= 0:
                return view
            await asyncio.sleep(min(next(pauses, POLL_SECONDS[-1]), left))


def encode_order(order: Order) -> bytes:
    return msgspec.json.encode(to_order_schema(order))


def encode_order_refund(order: Order, *, seller: AccountId | None) -> bytes:
    """Encode the order as `OrderRefundSchema`, with the lines of `seller` only, or with all lines if it is None."""
    lines = [line for line in order.lines if seller is None or line.seller_id == seller]
    items = _to_order_items(order, lines)
    return msgspec.json.encode(OrderRefundSchema(order.id, items, order.currency, order.status, order.updated_at))


def _to_order_items(order: Order, lines: Sequence[OrderLine]) -> list[OrderItem]:
    return [
        OrderItem(
            order.id * LINE_ID_SPAN + line.position,
            line.product_id,
            line.quantity,
            decimal_text(line.price, order.currency),
            line.refunded,
        )
        for line in lines
    ]


def to_order_schema(order: Order) -> OrderSchema:
    schema = OrderSchema(
        id=order.id,
        user=order.buyer_id,
        order_items=_to_order_items(order, order.lines),
        total_amount=decimal_text(order.total.minor, order.currency),
        currency=order.currency,
        status=order.status,
        created_at=order.created_at,
        updated_at=order.updated_at,
        expires_at=order.expires_at,
    )
    if order.shortfalls:
        schema.rejected_because = [to_shortfall_schema(short) for short in order.shortfalls]
    if order.is_cancelled_by_staff:
        schema.cancelled_by_staff = True
    return schema


def view_to_order_schema(view: OrderView, *, names: bool = False) -> OrderSchema:
    schema = OrderSchema(
        id=view.id,
        user=view.user,
        order_items=[
            OrderItem(
                line.id,
                line.product,
                line.quantity,
                decimal_text(line.price, view.currency),
                line.refunded,
                line.name if names else UNSET,
            )
            for line in view.lines
        ],
        total_amount=decimal_text(view.total, view.currency),
        currency=view.currency,
        status=view.status,
        created_at=view.created_at,
        updated_at=view.updated_at,
        expires_at=view.expires_at,
    )
    if view.shortfalls:
        schema.rejected_because = [to_shortfall_schema(short) for short in view.shortfalls]
    if view.is_cancelled_by_staff:
        schema.cancelled_by_staff = True
    return schema


def _to_quote_schema(signed: SignedQuote) -> QuoteSchema:
    quote = signed.quote
    price = decimal_text(quote.price, quote.currency)
    return QuoteSchema(quote.product_id, quote.quantity, price, quote.currency, quote.expires_at, signed.text)


def to_shortfall_schema(short: Shortfall) -> ShortfallSchema:
    return ShortfallSchema(short.product_id, short.wanted, short.available, short.reason, short.detail)


def to_sale_schema(view: SaleView) -> Sale:
    return Sale(
        id=view.id,
        order=view.order,
        product=view.product,
        name=view.name,
        quantity=view.quantity,
        price=decimal_text(view.price, view.currency),
        refunded=view.refunded,
        currency=view.currency,
        status=view.status,
        created_at=view.created_at,
    )
