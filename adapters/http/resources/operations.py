"""`operations/api/v1/`: what needs a person, backlogs of background work, and retries by staff."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import MAX_SIZE
from scalecommerce_core.domain.audit import Actor
from scalecommerce_core.domain.errors import NothingToRetry
from scalecommerce_core.domain.identifiers import EmailId, PaymentId, RefundId
from scalecommerce_core.queries import MAX_BACKLOG, Backlogs, Trouble, TroubleItem, TroubleKind

ROOT: Final = "/operations/api/v1/"
TAG: Final = "Back office"
DEFAULT_ITEMS: Final = 10


class AttentionQuery(msgspec.Struct, frozen=True):
    limit: Annotated[
        int,
        msgspec.Meta(ge=1, le=MAX_SIZE, description="Items of each kind, the longest lasting first.", examples=[20]),
    ] = DEFAULT_ITEMS


class TroubleItemSchema(msgspec.Struct):
    """`id` is the id of the order, payment, refund, endpoint, run or e-mail, or the name of a reader of events.
    `because` is the cause in words, `next_try_at` when the next try happens by itself, or when a run that awaits
    approval expires.
    """

    id: str
    name: str
    since: datetime | None
    because: str
    order: int | None
    account: int | None
    tries: int | None
    next_try_at: datetime | None


class TroubleSchema(msgspec.Struct):
    """`count` is exact up to 999; 1000 stands for 1000 or more. `since` is the oldest time of `items`. `action` is the
    operation of this API that solves it, or null.
    """

    kind: TroubleKind
    meaning: str
    action: str | None
    count: int
    since: datetime | None
    items: list[TroubleItemSchema]


class AttentionSchema(msgspec.Struct):
    """The kinds of trouble that there are; an empty list means that nothing needs a person."""

    at: datetime
    troubles: list[TroubleSchema]


class ConsumerLagSchema(msgspec.Struct):
    """A reader of events that has not read the last `events` ones; `oldest` is the time of the first of them."""

    name: str
    events: int
    oldest: datetime | None


class BacklogsSchema(msgspec.Struct):
    """What waits for background work. `unnumbered_events` are events that nobody sees yet; `pending_statistics` are
    imported or seeded orders and products that statistics do not count yet.
    """

    at: datetime
    undecided_orders: int
    oldest_undecided: datetime | None
    unnumbered_events: int
    oldest_unnumbered: datetime | None
    pending_statistics: int
    open_payments: int
    open_refunds: int
    waiting_emails: int
    waiting_deliveries: int
    consumers: list[ConsumerLagSchema]


class RetrySchema(msgspec.Struct):
    """`next_try_at` is when the next try is due: within seconds a worker makes it."""

    id: str
    tries: int
    next_try_at: datetime | None


def actor(call: Call[Any, Any]) -> Actor:
    """The member of staff who makes the request."""
    return Actor(call.identity.account_id, call.client_address)


class OperationsResource:
    """What needs a person, and what staff do about it."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market

    @OperationSpec(
        method="GET",
        path=f"{ROOT}attention/",
        name="readAttention",
        summary="List what needs a person",
        description="Parked orders, payments and refunds without an answer of the gateway, late workers, stopped"
        " pricing, runs that await approval or failed, disabled webhook endpoints and delayed e-mails: each with its"
        " cause in words, and the operation that solves it.",
        responses={200: ResponseSpec(AttentionSchema, "The kinds of trouble, with their first items.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def read_attention(self, call: Call[None, AttentionQuery]) -> Response:
        now = self._market.clock.now()
        found = await self._dependencies.run_in_thread(self._market.queries.troubles, now, call.query.limit)
        return json_response(AttentionSchema(now, [_to_trouble_schema(trouble) for trouble in found]))

    @OperationSpec(
        method="GET",
        path=f"{ROOT}backlogs/",
        name="readBacklogs",
        summary="Count what waits for background work",
        description=f"Each number is counted up to {MAX_BACKLOG:,}, except the events of a reader.",
        responses={200: ResponseSpec(BacklogsSchema, "The backlogs.")},
        tag=TAG,
        access=Access.STAFF,
    )
    async def read_backlogs(self, _call: Call[None, None]) -> Response:
        found = await self._dependencies.run_in_thread(self._market.queries.backlogs)
        return json_response(_to_backlogs_schema(found, self._market.clock.now()))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}payments/{{payment:uuid}}/check/",
        name="checkPayment",
        summary="Look up a payment at the gateway now",
        description="For a payment whose outcome is unknown: a worker asks the gateway within seconds, instead of"
        " waiting for the next scheduled time.",
        responses={200: ResponseSpec(RetrySchema, "The look-up is due.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(NothingToRetry,),
    )
    async def check_payment(self, call: Call[None, None]) -> Response:
        payment_id = PaymentId(_uuid(call, "payment"))
        payment = await self._dependencies.run_in_thread(self._market.payments.check_now, payment_id, actor(call))
        return json_response(RetrySchema(str(payment.id), payment.checks, payment.check_at))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}refunds/{{refund:uuid}}/send/",
        name="sendRefund",
        summary="Send a refund to the gateway again now",
        description="With the same key as before, so that the money goes back once. A worker sends it within seconds,"
        " instead of waiting for the next scheduled time.",
        responses={200: ResponseSpec(RetrySchema, "The next try is due.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(NothingToRetry,),
    )
    async def send_refund(self, call: Call[None, None]) -> Response:
        refund_id = RefundId(_uuid(call, "refund"))
        refund = await self._dependencies.run_in_thread(self._market.payments.send_refund_now, refund_id, actor(call))
        return json_response(RetrySchema(str(refund.id), refund.tries, refund.try_at))

    @OperationSpec(
        method="POST",
        path=f"{ROOT}emails/{{id:id}}/send/",
        name="sendEmail",
        summary="Send a delayed e-mail again now",
        description="A worker sends it within seconds, instead of waiting for the next scheduled time. An e-mail that"
        " is being sent at the moment is refused.",
        responses={200: ResponseSpec(RetrySchema, "The next try is due.")},
        tag=TAG,
        access=Access.STAFF,
        errors=(NothingToRetry,),
    )
    async def send_email(self, call: Call[None, None]) -> Response:
        email_id = EmailId(call.id)
        email = await self._dependencies.run_in_thread(self._market.emails.send_now, email_id, actor(call))
        return json_response(RetrySchema(str(email.id), email.attempts, email.try_at))


def _uuid(call: Call[Any, Any], name: str) -> UUID:
    return UUID(str(call.request.path_params[name]))


def _to_trouble_schema(trouble: Trouble) -> TroubleSchema:
    return TroubleSchema(
        trouble.kind,
        trouble.meaning.sentence,
        trouble.meaning.action or None,
        trouble.count,
        trouble.since,
        [_to_item_schema(item) for item in trouble.items],
    )


def _to_item_schema(item: TroubleItem) -> TroubleItemSchema:
    return TroubleItemSchema(
        item.id, item.name, item.since, item.cause, item.order, item.account, item.tries, item.next_try_at
    )


def _to_backlogs_schema(found: Backlogs, at: datetime) -> BacklogsSchema:
    return BacklogsSchema(
        at,
        found.undecided_orders,
        found.oldest_undecided,
        found.unnumbered_events,
        found.oldest_unnumbered,
        found.pending_statistics,
        found.open_payments,
        found.open_refunds,
        found.waiting_emails,
        found.waiting_deliveries,
        [ConsumerLagSchema(each.name, each.events, each.oldest) for each in found.consumers],
    )
