"""What staff do about orders, payments, refunds and e-mails that wait: each action is in the audit log."""

import logging
from collections.abc import Collection
from uuid import UUID, uuid4

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.audit import OPERATOR, Actor, AuditAction, AuditEntry
from scalecommerce_core.domain.errors import ConnectionLost, NotFound, NothingToRetry, TransactionAborted
from scalecommerce_core.domain.identifiers import AccountId, EmailId, OrderId, PaymentId, ProductId, RefundId
from scalecommerce_core.domain.order import DECIDE_ATTEMPTS, Order, OrderStatus, RefundLine
from scalecommerce_core.domain.payment import Payment
from scalecommerce_core.ports import Email, EmailFailure, Transaction
from scalecommerce_core.queries import PageRequest, TroubleItem, TroubleKind
from scalecommerce_core.services.emails import EmailRules
from scalecommerce_core.services.ordering import DecisionSummary, Ordering
from scalecommerce_core.services.payments import Payments, PayOrder
from scalecommerce_core.testing import RecordingEmailSender, SettableClock, in_memory_market
from tests.unit.support.shop import MarketActions, Shop, line
from tests.unit.support.tampering import TamperedStore, failing, with_repository

STAFF = Actor(AccountId(500), "192.0.2.7")


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    return shop.list(seller, "10.00", 10)


def recorded(shop: Shop) -> list[AuditEntry]:
    return [record.entry for record in shop.queries.audit_entries(PageRequest(10)).rows]


def troubles(shop: Shop, kind: TroubleKind) -> tuple[TroubleItem, ...]:
    found = {trouble.kind: trouble.items for trouble in shop.queries.troubles(shop.clock.now(), 10)}
    return found.get(kind, ())


def parked(shop: Shop, buyer: Account, tea: ProductId) -> Order:
    order = shop.place(buyer, line(tea))

    def tamper(tx: Transaction) -> Transaction:
        def save(orders: Collection[Order]) -> None:
            if any(each.status is not OrderStatus.CREATED for each in orders):
                raise ArithmeticError("bad data")
            tx.orders.save(orders)

        return with_repository(tx, "orders", save=save)

    ordering = Ordering(TamperedStore(shop.store, tamper=tamper), shop.clock)
    for attempt in range(DECIDE_ATTEMPTS):
        ordering.decide()
        shop.clock.advance(seconds=2**attempt)
    return shop.order(order.id)


# --- orders


def test_a_parked_order_is_requeued_and_decided(
    shop: Shop, buyer: Account, tea: ProductId, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        order = parked(shop, buyer, tea)
    (item,) = troubles(shop, TroubleKind.PARKED_ORDER)
    assert (item.order, item.cause) == (order.id, "ArithmeticError: bad data")
    assert not shop.ordering.requeue(order.id, STAFF).is_parked
    assert recorded(shop) == [
        AuditEntry(
            STAFF.account_id,
            "192.0.2.0/24",
            AuditAction.ORDER_REQUEUED,
            str(order.id),
            shop.clock.now(),
            {"decide_attempts": 5, "decide_error": "ArithmeticError: bad data"},
            {"decide_attempts": 0},
        )
    ]
    assert shop.ordering.decide() == DecisionSummary(reserved=1)
    assert troubles(shop, TroubleKind.PARKED_ORDER) == ()
    with pytest.raises(NothingToRetry, match="is not parked: it is PENDING"):
        shop.ordering.requeue(order.id, STAFF)
    with pytest.raises(NotFound):
        shop.ordering.requeue(OrderId(999), STAFF)
    assert len(recorded(shop)) == 1


@pytest.mark.parametrize("error", [TransactionAborted("deadlock"), ConnectionLost("gone")])
def test_requeuing_is_retried(
    shop: Shop, buyer: Account, tea: ProductId, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        order = parked(shop, buyer, tea)
    store = TamperedStore(shop.store, before=failing(error))
    assert not Ordering(store, shop.clock).requeue(order.id, OPERATOR).is_parked
    assert [entry.actor_id for entry in recorded(shop)] == [None]


# --- payments and refunds


def test_a_payment_without_result_is_looked_up_at_once(shop: Shop, buyer: Account, tea: ProductId) -> None:
    order = shop.reserve(buyer, line(tea, 1))
    shop.gateway.is_down = True
    shop.payments.pay([PayOrder(order.id, buyer.id)])
    for _ in range(12):
        shop.clock.advance(minutes=2)
        shop.payments.reconcile()
    (item,) = troubles(shop, TroubleKind.STUCK_PAYMENT)
    assert item.order == order.id
    assert item.cause == "The gateway is down."
    payment_id = PaymentId(UUID(item.id))
    shop.gateway.is_down = False
    assert shop.payments.reconcile() == 0
    assert shop.payments.check_now(payment_id, STAFF).check_at == shop.clock.now()
    assert shop.payments.reconcile() == 1
    assert troubles(shop, TroubleKind.STUCK_PAYMENT) == ()
    (entry,) = recorded(shop)
    assert (entry.action, entry.target_id) == (AuditAction.PAYMENT_CHECKED, str(payment_id))
    assert entry.before["trouble"] == item.cause
    with pytest.raises(NotFound):
        shop.payments.check_now(PaymentId(uuid4()), STAFF)


def test_a_refund_without_confirmation_is_sent_at_once(
    shop: Shop, buyer: Account, seller: Account, tea: ProductId
) -> None:
    order = shop.reserve(buyer, line(tea, 2))
    shop.payments.pay([PayOrder(order.id, buyer.id)])
    shop.refund(order, seller.id, RefundLine(tea, 1))
    shop.gateway.is_down = True
    for _ in range(8):
        shop.payments.send_refunds()
        shop.clock.advance(minutes=10)
    (item,) = troubles(shop, TroubleKind.STUCK_REFUND)
    assert (item.order, item.cause) == (order.id, "The gateway is down.")
    shop.payments.send_refunds()
    shop.gateway.is_down = False
    assert shop.payments.send_refunds() == 0
    refund_id = RefundId(UUID(item.id))
    assert shop.payments.send_refund_now(refund_id, STAFF).try_at == shop.clock.now()
    assert shop.payments.send_refunds() == 1
    assert troubles(shop, TroubleKind.STUCK_REFUND) == ()
    (entry,) = recorded(shop)
    assert (entry.action, entry.target_id) == (AuditAction.REFUND_SENT, str(refund_id))
    with pytest.raises(NothingToRetry, match="DONE"):
        shop.payments.send_refund_now(refund_id, STAFF)
    with pytest.raises(NotFound):
        shop.payments.send_refund_now(RefundId(uuid4()), STAFF)


def test_a_payment_whose_result_cannot_be_stored_says_so(shop: Shop, buyer: Account, tea: ProductId) -> None:
    order = shop.reserve(buyer, line(tea, 1))
    (payment,) = shop.payments.open([PayOrder(order.id, buyer.id)])
    assert isinstance(payment, Payment)
    shop.payments.charge(payment)

    def tamper(tx: Transaction) -> Transaction:
        def save(orders: Collection[Order]) -> None:
            raise ArithmeticError(f"{len(orders)} bad order")

        return with_repository(tx, "orders", save=save)

    store = TamperedStore(shop.store, tamper=tamper)
    shop.clock.advance(minutes=1)
    sweeping = Payments(store, shop.clock, ids=shop.ids, gateway=shop.gateway)
    assert sweeping.reconcile() == 1
    shop.clock.advance(minutes=9)
    (item,) = troubles(shop, TroubleKind.STUCK_PAYMENT)
    assert item.cause == "The result was not stored. ArithmeticError: 1 bad order"
    shop.payments.reconcile()
    assert shop.order(order.id).status is OrderStatus.PAID


# --- e-mails


def test_a_delayed_email_is_sent_at_once() -> None:
    clock, sender = SettableClock(), RecordingEmailSender(lambda _email: EmailFailure("451 try again later"))
    market = in_memory_market(clock, email_sender=sender, email_rules=EmailRules(enabled=True))
    owner = MarketActions(market).person("owner")
    market.password_reset.request(owner.email)
    market.emails.deliver()
    clock.advance(seconds=1)
    (trouble,) = [each for each in market.queries.troubles(clock.now(), 9) if each.kind is TroubleKind.DELAYED_EMAIL]
    (item,) = trouble.items
    assert (item.cause, item.name) == ("451 try again later", f"RESET_PASSWORD to {owner.email}")
    sender.answer = lambda _email: None
    assert market.emails.deliver().total == 0
    email_id = EmailId(int(item.id))
    assert market.emails.send_now(email_id, STAFF).try_at == clock.now()
    assert market.emails.deliver().sent == 1
    (record,) = market.queries.audit_entries(PageRequest(9)).rows
    assert (record.entry.action, record.entry.target_id) == (AuditAction.EMAIL_SENT, item.id)
    with pytest.raises(NotFound):
        market.emails.send_now(email_id, STAFF)


def test_an_email_that_is_being_sent_is_not_sent_twice() -> None:
    clock, sender = SettableClock(), RecordingEmailSender(lambda _email: EmailFailure("451 try again later"))
    market = in_memory_market(clock, email_sender=sender, email_rules=EmailRules(enabled=True))
    market.password_reset.request(MarketActions(market).person("owner").email)
    market.emails.deliver()
    clock.advance(minutes=1)
    refused = []

    def send(_email: Email) -> None:
        with pytest.raises(NothingToRetry, match="is being sent"):
            market.emails.send_now(EmailId(1), STAFF)
        refused.append(_email)

    sender.answer = send
    market.emails.deliver()
    assert len(refused) == 1
    assert market.queries.audit_entries(PageRequest(9)).rows == ()
