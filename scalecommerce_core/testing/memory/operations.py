"""Queries for staff in memory: troubles, backlogs, all orders, and one order with all that belongs to it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve

from scalecommerce_core.domain.identifiers import OrderId, ProductId
from scalecommerce_core.domain.order import LINE_ID_SPAN, Order, OrderStatus
from scalecommerce_core.domain.payment import Payment, PaymentStatus, RefundStatus
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.pricing.runs import RunStatus
from scalecommerce_core.queries import (
    ANY_ORDER,
    MAX_BACKLOG,
    MAX_COUNTED,
    MAX_ORDER_ROWS,
    MAX_SCANNED,
    Backlogs,
    ConsumerLag,
    Key,
    MovementView,
    OrderDetails,
    OrderFilter,
    OrderLineView,
    OrderRoute,
    OrderView,
    Page,
    PageRequest,
    PaymentRefundView,
    PaymentView,
    RefundView,
    StaffOrderView,
    Trouble,
    TroubleItem,
    TroubleKind,
)
from scalecommerce_core.queries.operations import (
    CONSUMER_LATE_AFTER,
    DECISION_LATE_AFTER,
    EVENT_LATE_AFTER,
    FAILED_RUN_WINDOW,
    MAX_FOUND_PRODUCTS,
    REFUND_TRIES,
    STUCK_AFTER,
    scanned_page,
    trouble_cause,
)
from scalecommerce_core.testing.memory.pagination import comparable
from scalecommerce_core.testing.memory.statistics import CONSUMER
from scalecommerce_core.testing.memory.tables import NUMBERED, Tables
from scalecommerce_core.testing.memory.text_search import NAME, Document, stems


class MemoryOperationsQueries:
    _tables: Tables

    # --- troubles and backlogs

    def troubles(self, now: datetime, limit: int) -> Sequence[Trouble]:
        found = []
        for kind, read in _TROUBLES.items():
            first = sorted(itertools.islice(read(self._tables, now), MAX_COUNTED), key=_since)
            items = [evolve(item, cause=trouble_cause(kind, item.cause or None)) for item in first]
            if items:
                found.append(Trouble(kind, len(items), tuple(items[:limit])))
        return found

    def backlogs(self) -> Backlogs:
        tables = self._tables
        undecided = [order for order in _by_id(tables) if order.status is OrderStatus.CREATED and not order.is_parked]
        outbox = list(tables.events.all())[tables.event_marks.get(NUMBERED) or 0 :]
        pending = [len(facts.products) + len(facts.orders) for facts in tables.pending_facts.all()]
        return Backlogs(
            min(len(undecided), MAX_BACKLOG),
            undecided[0].created_at if undecided else None,
            min(len(outbox), MAX_BACKLOG),
            outbox[0].at if outbox else None,
            min(sum(pending), MAX_BACKLOG),
            min(sum(each.status is PaymentStatus.OPEN for each in tables.payments.all()), MAX_BACKLOG),
            min(sum(each.status is RefundStatus.OPEN for each in tables.payment_refunds.all()), MAX_BACKLOG),
            min(sum(1 for _ in tables.emails.all()), MAX_BACKLOG),
            min(sum(each.status is DeliveryStatus.PENDING for each in tables.deliveries.all()), MAX_BACKLOG),
            tuple(_consumers(tables)),
        )

    # --- orders

    def all_orders(
        self, page: PageRequest, criteria: OrderFilter = ANY_ORDER, *, scan: int = MAX_SCANNED
    ) -> Page[StaffOrderView]:
        def key_of(order: Order) -> Key:
            return (-order.created_at.timestamp(), -order.id) if criteria.is_by_time else (-order.id,)

        products = self._found_products(criteria)
        on_route = [order for order in self._tables.orders.all() if _is_on_route(order, criteria, products)]
        keyed = sorted(((key_of(order), order) for order in on_route), key=lambda pair: comparable(pair[0]))
        if page.before is not None:
            end = page.before
            beyond = [pair for pair in reversed(keyed) if comparable(pair[0]) < comparable(end)]
        elif page.after is not None:
            start = page.after
            beyond = [pair for pair in keyed if comparable(pair[0]) > comparable(start)]
        else:
            beyond = keyed
        scanned = beyond[:scan]
        matching = [(key, self._staff_view(order)) for key, order in scanned if _matches(order, criteria)]
        return scanned_page(matching, page, stopped_at=scanned[-1][0] if len(scanned) == scan else None)

    def order_details(self, order_id: OrderId) -> OrderDetails | None:
        order = self._tables.orders.get(order_id)
        if order is None:
            return None
        products = {line.position: line.product_id for line in order.lines}
        payments = [each for each in self._tables.payments.all() if each.order_id == order_id]
        return OrderDetails(
            self._staff_view(order),
            tuple(self._payment_view(each) for each in sorted(payments, key=lambda each: (each.created_at, each.id)))[
                :MAX_ORDER_ROWS
            ],
            tuple(
                RefundView(products[each.position], each.quantity, each.amount, each.restocked, each.at, each.by)
                for each in self._tables.refunds.all()
                if each.order_id == order_id
            )[:MAX_ORDER_ROWS],
            tuple(
                MovementView(each.product_id, each.quantity, each.kind, each.at)
                for each in self._tables.movements.all()
                if each.order_id == order_id
            )[:MAX_ORDER_ROWS],
        )

    def _found_products(self, criteria: OrderFilter) -> frozenset[int]:
        """The products whose names have all words of the search."""
        words = stems(criteria.search or "")
        found = [
            product.id
            for product in self._tables.products.all()
            if words and all(_has_word(product.name, word) for word in words)
        ]
        return frozenset(sorted(found, reverse=True)[:MAX_FOUND_PRODUCTS])

    def _staff_view(self, order: Order) -> StaffOrderView:
        return StaffOrderView(
            order_view(self._tables, order),
            order.origin,
            order.decide_attempts,
            order.decide_error,
            order.decided_at,
            order.paid_at,
            order.has_expired,
            order.is_parked,
        )

    def _payment_view(self, payment: Payment) -> PaymentView:
        refunds = [each for each in self._tables.payment_refunds.all() if each.payment_id == payment.id]
        return PaymentView(
            payment.id,
            payment.amount.minor,
            payment.amount.currency,
            payment.method,
            payment.status,
            payment.checks,
            payment.reference,
            payment.reason,
            payment.trouble,
            payment.created_at,
            payment.updated_at,
            payment.deadline,
            payment.check_at,
            tuple(
                PaymentRefundView(
                    each.id,
                    each.amount.minor,
                    each.status,
                    each.tries,
                    each.trouble,
                    each.created_at,
                    each.try_at,
                    each.done_at,
                )
                for each in sorted(refunds, key=lambda each: (each.created_at, each.id))
            ),
        )


def order_view(tables: Tables, order: Order) -> OrderView:
    """The view of an order, with the present names of its products."""
    return OrderView(
        id=order.id,
        user=order.buyer_id,
        lines=tuple(
            OrderLineView(
                id=order.id * LINE_ID_SPAN + line.position,
                product=line.product_id,
                seller=line.seller_id,
                name=_name(tables, line.product_id),
                quantity=line.quantity,
                price=line.price,
                refunded=line.refunded,
            )
            for line in order.lines
        ),
        total=order.total.minor,
        currency=order.currency,
        status=order.status,
        shortfalls=order.shortfalls,
        created_at=order.created_at,
        updated_at=order.updated_at,
        expires_at=order.expires_at,
        is_cancelled_by_staff=order.is_cancelled_by_staff,
    )


def _name(tables: Tables, product_id: ProductId) -> str:
    product = tables.products.get(product_id)
    return "" if product is None else product.name


def _has_word(name: str, stem: str) -> bool:
    return any(each == stem and field == NAME for each, field in Document.of(name, "", "").stems)


def _is_on_route(order: Order, criteria: OrderFilter, products: frozenset[int]) -> bool:
    """Whether the order is examined for a page."""
    ordered = {line.product_id for line in order.lines}
    match criteria.route:
        case OrderRoute.SEARCH:
            return order.id == criteria.number or not products.isdisjoint(ordered)
        case OrderRoute.PRODUCT:
            return criteria.product in ordered
        case OrderRoute.BUYER:
            return order.buyer_id == criteria.buyer
        case OrderRoute.SELLER:
            return any(line.seller_id == criteria.seller for line in order.lines)
        case OrderRoute.PARKED:
            return order.is_parked
        case OrderRoute.STATUS:
            return order.status is criteria.status
        case OrderRoute.TIME:
            return _is_in_time(order, criteria)
        case OrderRoute.ALL:
            return True


def _matches(order: Order, criteria: OrderFilter) -> bool:
    low, high = criteria.total_min, criteria.total_max
    total = order.total
    return (
        criteria.status in {None, order.status}
        and criteria.buyer in {None, order.buyer_id}
        and (criteria.seller is None or any(line.seller_id == criteria.seller for line in order.lines))
        and (criteria.product is None or any(line.product_id == criteria.product for line in order.lines))
        and (order.is_parked or not criteria.is_parked)
        and (low is None or (low.currency == total.currency and total.minor >= low.minor))
        and (high is None or (high.currency == total.currency and total.minor <= high.minor))
        and _is_in_time(order, criteria)
    )


def _is_in_time(order: Order, criteria: OrderFilter) -> bool:
    return (criteria.created_after is None or order.created_at > criteria.created_after) and (
        criteria.created_before is None or order.created_at < criteria.created_before
    )


def _since(item: TroubleItem) -> tuple[bool, float, str]:
    return item.since is None, item.since.timestamp() if item.since is not None else 0.0, item.id


def _by_id(tables: Tables) -> list[Order]:
    return sorted(tables.orders.all(), key=lambda order: order.id)


def _consumers(tables: Tables) -> Iterator[ConsumerLag]:
    last = tables.event_marks.get(NUMBERED) or 0
    events = list(tables.events.all())
    for name, seq in sorted(tables.event_marks.items()):
        if name.startswith(CONSUMER):
            yield ConsumerLag(name.removeprefix(CONSUMER), last - seq, events[seq].at if seq < last else None)


# --- the kinds of trouble; the cause of each item is what is stored


def _parked_orders(tables: Tables, _now: datetime) -> Iterator[TroubleItem]:
    for order in _by_id(tables):
        if order.is_parked:
            yield TroubleItem(
                str(order.id),
                order.updated_at,
                order.decide_error or "",
                order=order.id,
                account=order.buyer_id,
                tries=order.decide_attempts,
            )


def _stuck_payments(tables: Tables, now: datetime) -> Iterator[TroubleItem]:
    stuck = [
        (each.check_at, each.id, each)
        for each in tables.payments.all()
        if each.status is PaymentStatus.OPEN and each.check_at is not None and each.deadline < now - STUCK_AFTER
    ]
    for check_at, _, each in sorted(stuck, key=lambda row: row[:2]):
        yield TroubleItem(
            str(each.id),
            each.deadline,
            each.trouble or "",
            order=each.order_id,
            tries=each.checks,
            next_try_at=check_at,
        )


def _stuck_refunds(tables: Tables, _now: datetime) -> Iterator[TroubleItem]:
    stuck = [
        each for each in tables.payment_refunds.all() if each.status is RefundStatus.OPEN and each.tries > REFUND_TRIES
    ]
    for each in sorted(stuck, key=lambda each: (each.try_at, each.id)):
        payment = tables.payments.get(each.payment_id)
        yield TroubleItem(
            str(each.id),
            each.created_at,
            each.trouble or "",
            order=None if payment is None else payment.order_id,
            tries=each.tries,
            next_try_at=each.try_at,
        )


def _late_decisions(tables: Tables, now: datetime) -> Iterator[TroubleItem]:
    for order in _by_id(tables):
        is_undecided = order.status is OrderStatus.CREATED and not order.is_parked
        if is_undecided and order.created_at < now - DECISION_LATE_AFTER:
            yield TroubleItem(
                str(order.id),
                order.created_at,
                order.decide_error or "",
                order=order.id,
                account=order.buyer_id,
                tries=order.decide_attempts,
                next_try_at=order.decide_after,
            )


def _late_events(tables: Tables, now: datetime) -> Iterator[TroubleItem]:
    done = tables.event_marks.get(NUMBERED) or 0
    for number, event in enumerate(tables.events.all(), 1):
        if number > done and event.at < now - EVENT_LATE_AFTER:
            yield TroubleItem(str(number), event.at, event.topic)


def _late_consumers(tables: Tables, now: datetime) -> Iterator[TroubleItem]:
    for lag in _consumers(tables):
        if lag.oldest is not None and lag.oldest < now - CONSUMER_LATE_AFTER:
            yield TroubleItem(lag.name, lag.oldest, str(lag.events))


def _pricing_stop(tables: Tables, _now: datetime) -> Iterator[TroubleItem]:
    if tables.switches.get("stopped"):
        yield TroubleItem("all", None, "")


def _awaiting_runs(tables: Tables, _now: datetime) -> Iterator[TroubleItem]:
    for run in sorted(tables.runs.all(), key=lambda run: run.id):
        policy = tables.policies.get(run.policy_id)
        if policy is not None and run.status is RunStatus.AWAITING_APPROVAL:
            yield TroubleItem(
                str(run.id),
                run.started_at,
                str(run.tally.moves),
                policy.name,
                account=run.seller_id,
                next_try_at=run.approval_until,
            )


def _failed_runs(tables: Tables, now: datetime) -> Iterator[TroubleItem]:
    newest = {run.policy_id: run for run in sorted(tables.runs.all(), key=lambda run: run.id)}
    for run in sorted(newest.values(), key=lambda run: run.id):
        policy = tables.policies.get(run.policy_id)
        is_recent = run.started_at >= now - FAILED_RUN_WINDOW
        if (
            policy is not None
            and policy.is_active
            and is_recent
            and run.status in {RunStatus.FAILED, RunStatus.STOPPED}
        ):
            yield TroubleItem(str(run.id), run.started_at, run.note, policy.name, account=run.seller_id)


def _disabled_webhooks(tables: Tables, _now: datetime) -> Iterator[TroubleItem]:
    for endpoint in sorted(tables.endpoints.all(), key=lambda endpoint: endpoint.id):
        if endpoint.disabled_because is not None and endpoint.deleted_at is None:
            yield TroubleItem(
                str(endpoint.id),
                endpoint.failing_since,
                endpoint.disabled_because,
                endpoint.url,
                account=endpoint.owner_id,
                tries=endpoint.failures,
            )


def _delayed_emails(tables: Tables, _now: datetime) -> Iterator[TroubleItem]:
    for email in sorted(tables.emails.all(), key=lambda email: (email.try_at, email.id)):
        if email.trouble is not None:
            yield TroubleItem(
                str(email.id),
                email.created_at,
                email.trouble,
                f"{email.kind} to {email.recipient}",
                account=email.account_id,
                tries=email.attempts,
                next_try_at=email.try_at,
            )


_Read = Callable[[Tables, datetime], Iterable[TroubleItem]]
_TROUBLES: Final[Mapping[TroubleKind, _Read]] = {
    TroubleKind.PARKED_ORDER: _parked_orders,
    TroubleKind.STUCK_PAYMENT: _stuck_payments,
    TroubleKind.STUCK_REFUND: _stuck_refunds,
    TroubleKind.LATE_DECISION: _late_decisions,
    TroubleKind.LATE_EVENT: _late_events,
    TroubleKind.LATE_CONSUMER: _late_consumers,
    TroubleKind.PRICING_STOPPED: _pricing_stop,
    TroubleKind.RUN_AWAITING_APPROVAL: _awaiting_runs,
    TroubleKind.FAILED_RUN: _failed_runs,
    TroubleKind.DISABLED_WEBHOOK: _disabled_webhooks,
    TroubleKind.DELAYED_EMAIL: _delayed_emails,
}
