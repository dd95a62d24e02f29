"""Views and queries for staff and operators: troubles that need a person, backlogs of background work, all orders."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, OrderId, PaymentId, ProductId, RefundId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import OrderOrigin, OrderStatus
from scalecommerce_core.domain.payment import PaymentStatus, RefundStatus
from scalecommerce_core.domain.stock import MovementKind
from scalecommerce_core.queries.orders import OrderView
from scalecommerce_core.queries.pagination import Key, Page, PageRequest

T = TypeVar("T")

# --- troubles


class TroubleKind(StrEnum):
    """What may need a person, in the order in which it is shown."""

    PARKED_ORDER = "parked_order"
    STUCK_PAYMENT = "stuck_payment"
    STUCK_REFUND = "stuck_refund"
    LATE_DECISION = "late_decision"
    LATE_EVENT = "late_event"
    LATE_CONSUMER = "late_consumer"
    PRICING_STOPPED = "pricing_stopped"
    RUN_AWAITING_APPROVAL = "run_awaiting_approval"
    FAILED_RUN = "failed_run"
    DISABLED_WEBHOOK = "disabled_webhook"
    DELAYED_EMAIL = "delayed_email"


@frozen
class TroubleMeaning:
    """What a kind of trouble means and what to do, in words; `action` names the operation of the API that solves it,
    or is empty if none does.
    """

    sentence: str
    action: str = ""


MEANINGS: Final[Mapping[TroubleKind, TroubleMeaning]] = {
    TroubleKind.PARKED_ORDER: TroubleMeaning(
        "The decision on these orders failed five times. Remove the cause, then requeue them.", "requeueOrder"
    ),
    TroubleKind.STUCK_PAYMENT: TroubleMeaning(
        "The gateway does not say whether these payments were charged, so their orders keep their stock. They are"
        " looked up again and again.",
        "checkPayment",
    ),
    TroubleKind.STUCK_REFUND: TroubleMeaning(
        "The gateway has not confirmed these refunds after several tries. They are sent again and again with the same"
        " key.",
        "sendRefund",
    ),
    TroubleKind.LATE_DECISION: TroubleMeaning(
        "These orders wait for their decision. Check that a worker and beat run, and their logs."
    ),
    TroubleKind.LATE_EVENT: TroubleMeaning(
        "These events have no number yet, so nobody sees them. Check that a worker and beat run, and their logs."
    ),
    TroubleKind.LATE_CONSUMER: TroubleMeaning(
        "These readers of events are late: statistics or webhooks show an earlier state. Check the logs of the workers."
    ),
    TroubleKind.PRICING_STOPPED: TroubleMeaning("All pricing is stopped: no policy changes a price.", "resumePricing"),
    TroubleKind.RUN_AWAITING_APPROVAL: TroubleMeaning(
        "These pricing runs change so many prices that a second person must approve them before their epoch ends.",
        "approvePricingRun",
    ),
    TroubleKind.FAILED_RUN: TroubleMeaning(
        "The last run of these active policies failed, so their prices stay. Correct the policy or its strategy.",
        "patchPricingPolicy",
    ),
    TroubleKind.DISABLED_WEBHOOK: TroubleMeaning(
        "These webhook endpoints were disabled because their receivers failed. Enable them when the receivers work.",
        "patchWebhook",
    ),
    TroubleKind.DELAYED_EMAIL: TroubleMeaning(
        "The mail server has not accepted these e-mails. They are sent again and again for about a day.", "sendEmail"
    ),
}

STUCK_AFTER: Final = timedelta(minutes=5)
"""A payment that is OPEN so long after its deadline is a trouble."""
REFUND_TRIES: Final = 5
"""A refund with more tries is a trouble."""
DECISION_LATE_AFTER: Final = timedelta(seconds=30)
EVENT_LATE_AFTER: Final = timedelta(seconds=30)
CONSUMER_LATE_AFTER: Final = timedelta(seconds=60)
FAILED_RUN_WINDOW: Final = timedelta(days=7)
"""Failed runs that are older are no trouble any more."""
MAX_COUNTED: Final = 1_000
"""Troubles of one kind are counted up to this number, so that counting takes a bounded time."""
NO_CAUSE: Final = "The cause was not stored: look into the logs of that time."


@frozen
class TroubleItem:
    """One trouble. `id` is that of the order, payment, refund, endpoint, run or e-mail, or a consumer's name."""

    id: str
    since: datetime | None
    cause: str
    """The cause in words."""
    name: str = ""
    """What people call it: the URL of an endpoint, the kind and recipient of an e-mail."""
    order: OrderId | None = None
    """The order that a payment or refund is for."""
    account: AccountId | None = None
    """The buyer, seller, owner or recipient."""
    tries: int | None = None
    next_try_at: datetime | None = None
    """When the next try happens by itself, or when the run that awaits approval expires."""


@frozen
class Trouble:
    """Troubles of one kind. `count` is at most `MAX_COUNTED`; `items` are the first ones, the longest lasting first."""

    kind: TroubleKind
    count: int
    items: tuple[TroubleItem, ...]

    @property
    def since(self) -> datetime | None:
        """When the first item began; None if that is not known."""
        return min((item.since for item in self.items if item.since is not None), default=None)

    @property
    def meaning(self) -> TroubleMeaning:
        return MEANINGS[self.kind]


def trouble_cause(kind: TroubleKind, stored: str | None) -> str:
    """The cause of a trouble in words. `stored` is what a failure said, the topic of a late event, the number of events
    that a consumer has not read, or the number of prices that a run would change.
    """
    match kind:
        case TroubleKind.LATE_DECISION:
            return f"The last decision failed: {stored}" if stored else "No worker has decided it."
        case TroubleKind.LATE_EVENT:
            return f"No worker has numbered this event ({stored})."
        case TroubleKind.LATE_CONSUMER:
            return f"{stored} events are not read."
        case TroubleKind.PRICING_STOPPED:
            return "Somebody stopped the pricing of all sellers."
        case TroubleKind.RUN_AWAITING_APPROVAL:
            return f"The run would change {stored} prices, which needs the approval of a second person."
        case _:
            return stored or NO_CAUSE


# --- backlogs


MAX_BACKLOG: Final = 100_000
"""Rows of a backlog are counted up to this number."""


@frozen
class ConsumerLag:
    """A reader of events, which has not read the last `events` ones; `oldest` is the time of the first of them."""

    name: str
    events: int
    oldest: datetime | None


@frozen
class Backlogs:
    """What waits for background work. Numbers are at most `MAX_BACKLOG`, except `ConsumerLag.events`."""

    undecided_orders: int
    oldest_undecided: datetime | None
    unnumbered_events: int
    """Events in the outbox."""
    oldest_unnumbered: datetime | None
    pending_statistics: int
    """Imported and seeded orders and products that the statistics do not count yet."""
    open_payments: int
    open_refunds: int
    waiting_emails: int
    waiting_deliveries: int
    """Webhooks that are not delivered yet, also those that wait for their next try."""
    consumers: tuple[ConsumerLag, ...]


# --- orders


MAX_SCANNED: Final = 2_000
"""Orders that are examined for one page of `all_orders`."""
MAX_FOUND_PRODUCTS: Final = 50
"""Products by whose names `all_orders` finds orders: the newest that match."""
_NUMBER: Final = re.compile("#?([1-9][0-9]{0,17})")


class OrderRoute(StrEnum):
    """By what the orders of a page are found; all other conditions are checked for each order that was found."""

    SEARCH = "search"
    PRODUCT = "product"
    BUYER = "buyer"
    SELLER = "seller"
    PARKED = "parked"
    STATUS = "status"
    TIME = "time"
    ALL = "all"


@frozen
class OrderFilter:
    """Conditions on a list of orders; None: any.

    `search` is the number of an order, or words that are all in the name of a product of the order. Orders in other
    currencies than that of `total_min` or `total_max` are left out.
    """

    status: OrderStatus | None = None
    buyer: AccountId | None = None
    seller: AccountId | None = None
    product: ProductId | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    total_min: Money | None = None
    total_max: Money | None = None
    is_parked: bool = False
    search: str | None = None

    @property
    def route(self) -> OrderRoute:
        if self.search is not None:
            return OrderRoute.SEARCH
        if self.product is not None:
            return OrderRoute.PRODUCT
        if self.buyer is not None:
            return OrderRoute.BUYER
        if self.seller is not None:
            return OrderRoute.SELLER
        if self.is_parked:
            return OrderRoute.PARKED
        # Most orders are PAID, so an index of this status would find hardly fewer orders.
        if self.status is not None and self.status is not OrderStatus.PAID:
            return OrderRoute.STATUS
        if self.created_after is not None or self.created_before is not None:
            return OrderRoute.TIME
        return OrderRoute.ALL

    @property
    def is_by_time(self) -> bool:
        """Whether the list is sorted by time and id, not by id alone."""
        return self.route is OrderRoute.TIME

    @property
    def number(self) -> OrderId | None:
        """The number of an order that is searched for."""
        found = None if self.search is None else _NUMBER.fullmatch(self.search.strip())
        return None if found is None else OrderId(int(found[1]))


ANY_ORDER: Final = OrderFilter()


@frozen
class StaffOrderView:
    """An order as staff see it."""

    order: OrderView
    origin: OrderOrigin
    decide_attempts: int
    decide_error: str | None
    """What the last failure of the decision said."""
    decided_at: datetime | None
    paid_at: datetime | None
    has_expired: bool
    is_parked: bool


MAX_ORDER_ROWS: Final = 1_000
"""Payments, refunds and stock movements of an order that `order_details` returns at most, of each kind."""


@frozen
class PaymentRefundView:
    """Money that goes back through the gateway."""

    id: RefundId
    amount: int
    status: RefundStatus
    tries: int
    trouble: str | None
    created_at: datetime
    try_at: datetime
    done_at: datetime | None


@frozen
class PaymentView:
    """One attempt to charge for an order; amounts in minor units of `currency`."""

    id: PaymentId
    amount: int
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
    check_at: datetime | None
    refunds: tuple[PaymentRefundView, ...]


@frozen
class RefundView:
    """Units of a line that were refunded; `by` is None in imported history."""

    product: ProductId
    quantity: int
    amount: int
    restocked: bool
    at: datetime
    by: AccountId | None


@frozen
class MovementView:
    product: ProductId
    quantity: int
    kind: MovementKind
    at: datetime


class OrderMoment(StrEnum):
    """What happened to an order."""

    PLACED = "placed"
    RESERVED = "reserved"
    REJECTED = "rejected"
    DECISION_FAILED = "decision_failed"
    PAYMENT_STARTED = "payment_started"
    PAYMENT_DECLINED = "payment_declined"
    PAYMENT_ABANDONED = "payment_abandoned"
    PAYMENT_TOO_LATE = "payment_too_late"
    PAID = "paid"
    CANCELLED = "cancelled"
    CANCELLED_BY_STAFF = "cancelled_by_staff"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    REFUND_CONFIRMED = "refund_confirmed"


@frozen
class TimelineEntry:
    """One thing that happened. `text` is a cause or reason in words; `by` is the account that acted, if it is known."""

    moment: OrderMoment
    at: datetime
    text: str = ""
    amount: int | None = None
    by: AccountId | None = None


@frozen
class OrderDetails:
    """An order with all that belongs to it, oldest first."""

    view: StaffOrderView
    payments: tuple[PaymentView, ...]
    refunds: tuple[RefundView, ...]
    movements: tuple[MovementView, ...]

    @property
    def timeline(self) -> tuple[TimelineEntry, ...]:
        """What happened to the order, oldest first.

        Decisions that were made before their time was stored (revision 0044) are left out.
        """
        entries = [*_order_entries(self.view), *_payment_entries(self.payments)]
        entries += [
            TimelineEntry(
                OrderMoment.REFUNDED,
                refund.at,
                f"{refund.quantity} of product {refund.product}{', back in stock' if refund.restocked else ''}",
                refund.amount,
                refund.by,
            )
            for refund in self.refunds
        ]
        places = list(OrderMoment)
        return tuple(sorted(entries, key=lambda entry: (entry.at, places.index(entry.moment))))


_ENDS: Final = {
    PaymentStatus.DECLINED: OrderMoment.PAYMENT_DECLINED,
    PaymentStatus.ABANDONED: OrderMoment.PAYMENT_ABANDONED,
    PaymentStatus.TOO_LATE: OrderMoment.PAYMENT_TOO_LATE,
}


def _order_entries(view: StaffOrderView) -> list[TimelineEntry]:
    order = view.order
    entries = [TimelineEntry(OrderMoment.PLACED, order.created_at, "", order.total, order.user)]
    if view.decided_at is not None:
        rejected = order.status is OrderStatus.REJECTED
        said = " ".join(f"Product {short.product_id}: {short.detail}" for short in order.shortfalls)
        moment = OrderMoment.REJECTED if rejected else OrderMoment.RESERVED
        # The clock of the worker may be behind that of the process that took the order.
        entries.append(TimelineEntry(moment, max(view.decided_at, order.created_at), said))
    if order.status is OrderStatus.CREATED and view.decide_attempts:
        entries.append(TimelineEntry(OrderMoment.DECISION_FAILED, order.updated_at, view.decide_error or NO_CAUSE))
    if view.paid_at is not None:
        entries.append(TimelineEntry(OrderMoment.PAID, view.paid_at, "", order.total))
    if order.status is OrderStatus.CANCELLED:
        entries.append(TimelineEntry(_cancellation(view), order.updated_at))
    return entries


def _cancellation(view: StaffOrderView) -> OrderMoment:
    if view.order.is_cancelled_by_staff:
        return OrderMoment.CANCELLED_BY_STAFF
    return OrderMoment.EXPIRED if view.has_expired else OrderMoment.CANCELLED


def _payment_entries(payments: Sequence[PaymentView]) -> list[TimelineEntry]:
    entries = []
    for payment in payments:
        entries.append(
            TimelineEntry(OrderMoment.PAYMENT_STARTED, payment.created_at, payment.trouble or "", payment.amount)
        )
        if payment.status in _ENDS:
            entries.append(
                TimelineEntry(_ENDS[payment.status], payment.updated_at, payment.reason or "", payment.amount)
            )
        entries += [
            TimelineEntry(OrderMoment.REFUND_CONFIRMED, refund.done_at, "", refund.amount)
            for refund in payment.refunds
            if refund.done_at is not None
        ]
    return entries


def scanned_page(rows: Sequence[tuple[Key, T]], request: PageRequest, *, stopped_at: Key | None) -> Page[T]:
    """Return the page of rows that were found, nearest to the cursor first, with one row more than the page if there
    is one. `stopped_at` is the key of the last row that was examined, if more rows would have to be examined.

    A page may have fewer rows than requested, or none, and be followed by another page.
    """
    shown = list(rows[: request.size])
    onward = shown[-1][0] if len(rows) > request.size else stopped_at
    if request.before is not None:
        shown.reverse()
    views = tuple(row for _, row in shown)
    if request.before is not None:
        return Page(views, next=shown[-1][0] if shown else None, previous=onward)
    return Page(views, next=onward, previous=shown[0][0] if shown and request.after is not None else None)


class OperationsQueries(Protocol):
    def troubles(self, now: datetime, limit: int) -> Sequence[Trouble]:
        """Return the kinds of trouble that there are at `now`, in the order of `TroubleKind`, each with up to `limit`
        items. One statement, whatever the number of rows.
        """
        ...

    def backlogs(self) -> Backlogs:
        """Return what waits for background work."""
        ...

    def all_orders(
        self, page: PageRequest, criteria: OrderFilter = ANY_ORDER, *, scan: int = MAX_SCANNED
    ) -> Page[StaffOrderView]:
        """Return orders of all accounts, newest first: by id or, if `criteria.is_by_time`, by time and id.

        At most `scan` orders are examined for a page, so a page may have fewer rows than requested and be followed by
        another one (`scanned_page`).
        """
        ...

    def order_details(self, order_id: OrderId) -> OrderDetails | None:
        """Return an order with its payments, refunds and stock movements; None if there is none."""
        ...
