"""Payments, and their races with cancellation, expiry, other payments, crashes and a silent gateway."""

from typing import Any

import pytest
from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import (
    ConnectionLost,
    GatewayUnavailable,
    Invalid,
    MarketError,
    NotFound,
    PaymentDeclined,
    PaymentInProgress,
    PaymentTooLate,
    TransactionAborted,
    TransitionNotAllowed,
    Unavailable,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId, PaymentId, ProductId
from scalecommerce_core.domain.order import Order, OrderStatus, RefundLine
from scalecommerce_core.domain.payment import Charged, ChargeRequest, Declined, Payment, PaymentStatus, RefundStatus
from scalecommerce_core.services.ordering import CancelOrder, RefundOrder
from scalecommerce_core.services.payments import NoAnswer, PaymentResult, Payments, PayOrder, UnknownCharge
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import CountingIds
from scalecommerce_core.testing.memory.payment_gateway import DECLINED, LOST_REPLY
from tests.unit.support.shop import Shop, line
from tests.unit.support.tampering import TamperedStore, failing, with_repository

STAFF = AccountId(500)


@pytest.fixture
def tea(shop: Shop, seller: Account) -> ProductId:
    return shop.list(seller, "10.00", 10)


@pytest.fixture
def order(shop: Shop, buyer: Account, tea: ProductId) -> Order:
    """4 units for 40.00, PENDING."""
    return shop.reserve(buyer, line(tea, 4))


def pay(shop: Shop, order: Order, method: str = "card", *, by: AccountId | None = None) -> Order | MarketError:
    return shop.payments.pay([PayOrder(order.id, by or order.buyer_id, method)])[0]


def start(shop: Shop, order: Order, method: str = "card") -> Payment:
    """An attempt that is stored and not yet charged."""
    payment = unwrap_single(shop.payments.open([PayOrder(order.id, order.buyer_id, method)]))
    assert isinstance(payment, Payment)
    return payment


def die_after_charging(shop: Shop, order: Order) -> Payment:
    """As a process that is killed after the gateway's answer and before its record."""
    payment = start(shop, order)
    shop.gateway.charge(payment.request())
    return payment


def cancel(shop: Shop, order: Order) -> Order | MarketError:
    return shop.ordering.cancel([CancelOrder(order.id, order.buyer_id)])[0]


def status(shop: Shop, order: Order) -> OrderStatus:
    return shop.order(order.id).status


def payments(shop: Shop) -> list[Payment]:
    return list(shop.tables.payments.all())


def statuses(shop: Shop) -> list[PaymentStatus]:
    return [payment.status for payment in payments(shop)]


def only(outcomes: list[Order | MarketError]) -> Order | MarketError:
    (outcome,) = outcomes
    return outcome


def settle(shop: Shop) -> None:
    """Run the sweeps for longer than any look-up or refund takes."""
    for _ in range(30):
        shop.clock.advance(hours=1)
        while shop.payments.reconcile():
            pass
        while shop.payments.send_refunds():
            pass
        shop.ordering.expire()


def money_adds_up(shop: Shop) -> bool:
    """The gateway's balance equals the totals of PAID orders less their refunds."""
    orders = [o for o in shop.tables.orders.all() if o.status in {OrderStatus.PAID, OrderStatus.REFUNDED}]
    kept = sum(each.price * each.refundable for o in orders for each in o.lines)
    refunds = list(shop.tables.payment_refunds.all())
    assert all(refund.status is RefundStatus.DONE for refund in refunds)
    assert shop.queries.stock_discrepancies() == []
    return shop.gateway.taken - shop.gateway.sent_back == kept


@pytest.fixture(autouse=True)
def everything_settles(shop: Shop) -> Any:
    """After each test, no attempt is open and the balance of the gateway is right."""
    yield
    shop.gateway.is_down = False
    shop.gateway.before = shop.gateway.after = lambda _request: None
    settle(shop)
    assert PaymentStatus.OPEN not in statuses(shop)
    assert all(payment.check_at is None for payment in payments(shop))
    assert money_adds_up(shop)


# --- the plain way


def test_paying_charges_the_total_and_sells(shop: Shop, order: Order, tea: ProductId) -> None:
    paid = pay(shop, order)
    assert isinstance(paid, Order)
    assert paid.status is OrderStatus.PAID
    assert shop.gateway.taken == 40_00
    assert (shop.stock(tea).on_hand, shop.stock(tea).reserved) == (6, 0)
    (payment,) = payments(shop)
    assert payment.status is PaymentStatus.CAPTURED
    (charge,) = shop.gateway.charges.values()
    assert charge.request == payment.request()


def test_a_paid_order_is_the_answer_and_is_not_charged_again(shop: Shop, order: Order) -> None:
    pay(shop, order)
    again = pay(shop, order)
    assert isinstance(again, Order)
    assert again.status is OrderStatus.PAID
    assert len(payments(shop)) == len(shop.gateway.charges) == 1


def test_a_declined_payment_leaves_the_order_free(shop: Shop, order: Order) -> None:
    declined = pay(shop, order, DECLINED)
    assert isinstance(declined, PaymentDeclined)
    assert declined.reason == "card_declined"
    assert status(shop, order) is OrderStatus.PENDING
    assert isinstance(pay(shop, order), Order)
    assert statuses(shop) == [PaymentStatus.DECLINED, PaymentStatus.CAPTURED]


def test_each_command_is_answered_on_its_own(shop: Shop, buyer: Account, seller: Account, tea: ProductId) -> None:
    first, second, third = (shop.reserve(buyer, line(tea)) for _ in range(3))
    undecided = shop.place(buyer, line(tea))
    outcomes = shop.payments.pay(
        [
            PayOrder(first.id, buyer.id),
            PayOrder(undecided.id, buyer.id),
            PayOrder(second.id, seller.id),
            PayOrder(OrderId(999), buyer.id),
            PayOrder(second.id, buyer.id, DECLINED),
            PayOrder(second.id, buyer.id, "no\0token"),
            PayOrder(third.id, buyer.id),
        ]
    )
    expected = [Order, TransitionNotAllowed, NotFound, NotFound, PaymentDeclined, PaymentInProgress, Order]
    assert [type(outcome) for outcome in outcomes] == expected
    assert isinstance(pay(shop, second, "no\0token"), Invalid)


def test_no_transaction_is_open_while_the_gateway_works(
    shop: Shop, buyer: Account, order: Order, tea: ProductId
) -> None:
    def meanwhile(_request: ChargeRequest) -> None:
        shop.gateway.before = lambda _request: None
        # The in-memory store raises an error if a transaction begins inside of another.
        shop.buy(buyer, line(tea))

    shop.gateway.before = meanwhile
    assert isinstance(pay(shop, order), Order)
    assert statuses(shop) == [PaymentStatus.CAPTURED] * 2


# --- races with other requests


def test_a_second_payment_waits_for_the_first(shop: Shop, order: Order) -> None:
    payment = start(shop, order)
    assert isinstance(pay(shop, order), PaymentInProgress)
    unwrap_single(shop.payments.record([shop.payments.charge(payment)]))
    assert isinstance(pay(shop, order), Order)
    assert len(shop.gateway.charges) == 1


def test_an_order_cannot_be_cancelled_while_the_gateway_is_charging(shop: Shop, order: Order) -> None:
    outcomes: list[Order | MarketError] = []
    shop.gateway.before = lambda _request: outcomes.append(cancel(shop, order))
    assert isinstance(pay(shop, order), Order)
    assert [type(outcome) for outcome in outcomes] == [PaymentInProgress]
    assert isinstance(cancel(shop, order), TransitionNotAllowed)


def test_expiry_skips_orders_with_an_open_payment_attempt(shop: Shop, order: Order) -> None:
    expired: list[int] = []

    def late(_request: ChargeRequest) -> None:
        shop.clock.advance(hours=1)
        expired.append(shop.ordering.expire())

    shop.gateway.before = late
    assert isinstance(pay(shop, order), Order)
    assert expired == [0]


def test_an_attempt_opened_while_expiry_claims_its_order_is_seen_under_the_lock(shop: Shop, order: Order) -> None:
    """A claim may read the attempts before it gets its locks."""
    start(shop, order)
    shop.clock.advance(hours=1)

    def blind(tx: Any) -> Any:
        return with_repository(
            tx, "orders", claim_expired=lambda _limit, _now: list(tx.orders.lock([order.id]).values())
        )

    ordering = type(shop.ordering)(TamperedStore(shop.store, tamper=blind), shop.clock)
    assert ordering.expire() == 0
    assert status(shop, order) is OrderStatus.PENDING


def test_a_cancelled_or_expired_order_cannot_be_paid(shop: Shop, buyer: Account, order: Order, tea: ProductId) -> None:
    cancel(shop, order)
    assert isinstance(pay(shop, order), TransitionNotAllowed)
    other = shop.reserve(buyer, line(tea))
    shop.clock.advance(hours=1)
    shop.ordering.expire()
    assert isinstance(pay(shop, other), TransitionNotAllowed)
    assert shop.gateway.charges == {}


def test_other_accounts_do_not_see_that_an_order_is_being_paid(shop: Shop, seller: Account, order: Order) -> None:
    start(shop, order)
    assert isinstance(pay(shop, order, by=seller.id), NotFound)
    assert isinstance(shop.ordering.cancel([CancelOrder(order.id, seller.id)])[0], NotFound)


# --- crashes and silence


def test_a_crash_between_charge_and_record_is_reconciled(shop: Shop, order: Order, tea: ProductId) -> None:
    die_after_charging(shop, order)
    shop.clock.advance(seconds=59)
    assert shop.payments.reconcile() == 0
    shop.clock.advance(seconds=1)
    assert shop.payments.reconcile() == 1
    assert status(shop, order) is OrderStatus.PAID
    assert shop.stock(tea).on_hand == 6
    assert shop.payments.reconcile() == 0


def test_a_crash_before_the_charge_frees_the_order_in_time(shop: Shop, order: Order) -> None:
    start(shop, order)
    shop.clock.advance(minutes=1)
    shop.payments.reconcile()
    assert statuses(shop) == [PaymentStatus.ABANDONED]
    assert isinstance(pay(shop, order), Order)


def test_a_crash_before_the_charge_lets_the_order_expire(shop: Shop, order: Order, tea: ProductId) -> None:
    start(shop, order)
    shop.clock.advance(minutes=15)
    assert shop.ordering.expire() == 0
    shop.payments.reconcile()
    assert shop.ordering.expire() == 1
    assert shop.stock(tea).available == 10


def test_a_lost_reply_is_found_soon(shop: Shop, order: Order) -> None:
    unknown = pay(shop, order, LOST_REPLY)
    assert isinstance(unknown, GatewayUnavailable)
    assert status(shop, order) is OrderStatus.PENDING
    assert isinstance(pay(shop, order), PaymentInProgress)
    # The look-up comes long before the deadline, because the process recorded that the answer was lost.
    shop.clock.advance(seconds=2)
    assert shop.payments.reconcile() == 1
    assert status(shop, order) is OrderStatus.PAID
    assert shop.gateway.taken == 40_00


def test_while_the_gateway_is_down_attempts_stay_open(shop: Shop, order: Order) -> None:
    shop.gateway.is_down = True
    assert isinstance(pay(shop, order), GatewayUnavailable)
    for _ in range(50):
        shop.clock.advance(minutes=1)
        shop.payments.reconcile()
        shop.ordering.expire()
    assert statuses(shop) == [PaymentStatus.OPEN]
    assert status(shop, order) is OrderStatus.PENDING


def test_a_sweep_ends_early_when_the_gateway_does_not_answer(
    shop: Shop, buyer: Account, tea: ProductId, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        start(shop, shop.reserve(buyer, line(tea)))
    shop.clock.advance(minutes=1)
    asked: list[PaymentId] = []

    def find(key: PaymentId) -> None:
        asked.append(key)
        raise GatewayUnavailable("not now")

    monkeypatch.setattr(shop.gateway, "find", find)
    assert shop.payments.reconcile() == 6
    assert len(asked) == 3
    assert shop.payments.reconcile() == 0
    monkeypatch.undo()


def test_an_unexpected_exception_of_the_gateway_counts_as_no_answer(
    shop: Shop, buyer: Account, order: Order, tea: ProductId
) -> None:
    other = shop.reserve(buyer, line(tea))

    def crash(request: ChargeRequest) -> None:
        if request.order_id == order.id:
            raise KeyError("a bug")

    shop.gateway.after = crash
    broken, fine = shop.payments.pay([PayOrder(order.id, buyer.id), PayOrder(other.id, buyer.id)])
    assert isinstance(broken, GatewayUnavailable)
    assert isinstance(fine, Order)
    shop.clock.advance(minutes=1)
    shop.payments.reconcile()
    assert status(shop, order) is OrderStatus.PAID


def test_an_attempt_that_waited_past_its_deadline_is_not_sent(shop: Shop, order: Order) -> None:
    payment = start(shop, order)
    shop.clock.advance(minutes=1)
    assert shop.payments.charge(payment).answer == NoAnswer()
    assert shop.gateway.charges == {}


def test_a_late_charge_still_pays_an_order_that_waits(shop: Shop, order: Order) -> None:
    payment = start(shop, order)
    shop.clock.advance(minutes=1)
    shop.payments.reconcile()
    assert statuses(shop) == [PaymentStatus.ABANDONED]
    shop.gateway.charge(payment.request())
    shop.clock.advance(seconds=2)
    shop.payments.reconcile()
    assert status(shop, order) is OrderStatus.PAID
    assert statuses(shop) == [PaymentStatus.CAPTURED]


@pytest.mark.parametrize("fate", ["cancelled", "expired", "paid"])
def test_a_charge_that_came_too_late_is_sent_back(shop: Shop, order: Order, fate: str) -> None:
    payment = start(shop, order)
    shop.clock.advance(minutes=15)
    shop.payments.reconcile()
    if fate == "cancelled":
        cancel(shop, order)
    elif fate == "expired":
        shop.ordering.expire()
    else:
        pay(shop, order)
    before = status(shop, order)
    late = only(shop.payments.record([PaymentResult(payment.id, order.id, shop.gateway.charge(payment.request()))]))
    assert isinstance(late, PaymentTooLate)
    assert status(shop, order) is before
    assert shop.payments.send_refunds() == 1
    assert shop.gateway.sent_back == 40_00
    assert [p.status for p in payments(shop) if p.id == payment.id] == [PaymentStatus.TOO_LATE]


def test_two_charges_pay_an_order_once(shop: Shop, order: Order) -> None:
    first = start(shop, order)
    shop.clock.advance(minutes=1)
    shop.payments.reconcile()
    second = start(shop, order)
    results = [PaymentResult(p.id, order.id, shop.gateway.charge(p.request())) for p in (second, first)]
    paid, late = shop.payments.record(results)
    assert isinstance(paid, Order)
    assert isinstance(late, PaymentTooLate)
    shop.payments.send_refunds()
    assert shop.gateway.sent_back == 40_00


def test_a_charge_after_a_decline_is_refunded(shop: Shop, order: Order) -> None:
    payment = die_after_charging(shop, order)
    declined, late = shop.payments.record(
        [PaymentResult(payment.id, order.id, answer) for answer in (Declined("no"), Charged(f"charge-{payment.id}"))]
    )
    assert isinstance(declined, PaymentDeclined)
    assert isinstance(late, PaymentTooLate)


def test_recording_twice_is_harmless(shop: Shop, buyer: Account, order: Order, tea: ProductId) -> None:
    other = shop.reserve(buyer, line(tea))
    taken = shop.payments.charge(start(shop, order))
    refused = shop.payments.charge(start(shop, other, DECLINED))
    for _ in range(2):
        outcomes = shop.payments.record([taken, refused, taken])
        assert [type(outcome) for outcome in outcomes] == [Order, PaymentDeclined, Order]
        # The late results of sweeps change nothing either.
        shop.payments.record([evolve(taken, answer=answer) for answer in (UnknownCharge(), NoAnswer())])
    assert shop.stock(tea).on_hand == 6
    assert [event.topic for event in shop.tables.events.rows].count("order.paid") == 1


def test_a_result_for_an_unknown_payment_is_not_found(shop: Shop, buyer: Account, order: Order, tea: ProductId) -> None:
    payment, other = start(shop, order), shop.reserve(buyer, line(tea))
    wrong = [
        PaymentResult(PaymentId(shop.ids.command()), order.id, Charged("x")),
        PaymentResult(payment.id, other.id, Charged("x")),
        PaymentResult(payment.id, OrderId(999), Charged("x")),
    ]
    assert [type(outcome) for outcome in shop.payments.record(wrong)] == [NotFound] * 3
    assert statuses(shop) == [PaymentStatus.OPEN]


def test_sweeps_beside_each_other_share_the_work(
    shop: Shop, buyer: Account, tea: ProductId, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        die_after_charging(shop, shop.reserve(buyer, line(tea)))
    shop.clock.advance(minutes=1)
    asked: list[PaymentId] = []
    counts: list[int] = []
    find = shop.gateway.find

    def nested(key: PaymentId) -> Charged | Declined | None:
        # Each sweep starts another one before its first look-up; the last one finds no attempt left.
        asked.append(key)
        if len(asked) <= 3:
            counts.append(shop.payments.reconcile(2))
        return find(key)

    monkeypatch.setattr(shop.gateway, "find", nested)
    assert shop.payments.reconcile(2) == 2
    assert sorted(counts) == [0, 1, 2]
    assert len(asked) == len(set(asked)) == 5
    assert statuses(shop) == [PaymentStatus.CAPTURED] * 5


def test_a_sweep_that_dies_is_followed_by_another(shop: Shop, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    die_after_charging(shop, order)
    shop.clock.advance(minutes=1)

    class Died(BaseException):
        pass

    def die(_key: PaymentId) -> None:
        raise Died

    monkeypatch.setattr(shop.gateway, "find", die)
    with pytest.raises(Died):
        shop.payments.reconcile()
    monkeypatch.undo()
    assert shop.payments.reconcile() == 0
    shop.clock.advance(minutes=1)
    assert shop.payments.reconcile() == 1
    assert status(shop, order) is OrderStatus.PAID


def test_a_result_that_cannot_be_recorded_does_not_block_others(shop: Shop, buyer: Account, tea: ProductId) -> None:
    orders = [shop.reserve(buyer, line(tea)) for _ in range(4)]
    bad, *_ = [die_after_charging(shop, each) for each in orders]
    shop.clock.advance(minutes=1)

    def tamper(tx: Any) -> Any:
        def lock(ids: Any) -> Any:
            if bad.id in ids:
                raise RuntimeError("bad data")
            return tx.payments.lock(ids)

        return with_repository(tx, "payments", lock=lock)

    sweeping = over(shop, TamperedStore(shop.store, tamper=tamper))
    assert sweeping.reconcile() == 4
    assert [status(shop, each) for each in orders] == [OrderStatus.PENDING] + [OrderStatus.PAID] * 3


# --- refunds


def test_a_refund_is_sent_back_by_the_sweep(shop: Shop, seller: Account, order: Order, tea: ProductId) -> None:
    pay(shop, order)
    shop.refund(order, seller.id, RefundLine(tea, 1))
    shop.refund(order, STAFF, RefundLine(tea, 2), as_staff=True, restock=False)
    assert shop.gateway.sent_back == 0
    assert shop.payments.send_refunds() == 2
    assert shop.gateway.sent_back == 30_00
    assert shop.payments.send_refunds() == 0
    shop.refund(order, seller.id, RefundLine(tea, 1))
    shop.payments.send_refunds()
    assert status(shop, order) is OrderStatus.REFUNDED
    assert shop.gateway.sent_back == shop.gateway.taken
    assert {refund.reference for refund in shop.gateway.refunds.values()} == {payments(shop)[0].reference}


def test_refunds_of_one_batch_are_sent_one_by_one(shop: Shop, seller: Account, order: Order, tea: ProductId) -> None:
    pay(shop, order)
    wanted = [RefundOrder(order.id, seller.id, [RefundLine(tea, quantity)]) for quantity in (1, 9, 2)]
    assert [isinstance(outcome, Order) for outcome in shop.ordering.refund(wanted)] == [True, False, True]
    assert sorted(refund.amount.minor for refund in shop.tables.payment_refunds.all()) == [10_00, 20_00]


def test_a_refund_that_fails_writes_nothing(shop: Shop, seller: Account, order: Order, tea: ProductId) -> None:
    pay(shop, order)
    with pytest.raises(Invalid):
        shop.refund(order, seller.id, RefundLine(tea, 5))
    assert list(shop.tables.payment_refunds.all()) == []


def test_refunds_of_imported_orders_send_no_money_back(
    shop: Shop, seller: Account, buyer: Account, tea: ProductId
) -> None:
    order = shop.reserve(buyer, line(tea, 2))
    with shop.store.begin() as tx:
        (loaded,) = tx.orders.lock([order.id]).values()
        stock = tx.stock.lock([tea])
        loaded.pay(stock, shop.clock.now())
        tx.orders.save([loaded])
        tx.stock.save(list(stock.values()))
    shop.refund(order, seller.id, RefundLine(tea, 2))
    assert status(shop, order) is OrderStatus.REFUNDED
    assert shop.payments.send_refunds() == 0


def test_a_refund_is_sent_once_though_its_confirmation_got_lost(
    shop: Shop, seller: Account, order: Order, tea: ProductId, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(shop, order)
    shop.refund(order, seller.id, RefundLine(tea, 1))
    send = shop.gateway.refund

    def lossy(request: Any) -> None:
        send(request)
        raise GatewayUnavailable("lost")

    monkeypatch.setattr(shop.gateway, "refund", lossy)
    assert shop.payments.send_refunds() == 1
    assert shop.payments.send_refunds() == 0
    monkeypatch.undo()
    shop.clock.advance(seconds=2)
    assert shop.payments.send_refunds() == 1
    assert shop.gateway.sent_back == 10_00


def test_refunds_wait_for_a_gateway_that_is_down(shop: Shop, seller: Account, order: Order, tea: ProductId) -> None:
    pay(shop, order)
    shop.refund(order, seller.id, RefundLine(tea, 1))
    shop.gateway.is_down = True
    tries = 0
    for _ in range(60):
        tries += shop.payments.send_refunds()
        shop.clock.advance(minutes=1)
    assert tries < 12
    shop.gateway.is_down = False
    shop.clock.advance(hours=1)
    assert shop.payments.send_refunds() == 1


# --- the store fails


def over(shop: Shop, store: TamperedStore) -> Payments:
    """The same engine with a store that raises errors."""
    return Payments(store, shop.clock, ids=shop.ids, gateway=shop.gateway)


@pytest.mark.parametrize("error", [TransactionAborted("x"), ConnectionLost("x")])
def test_aborted_transactions_of_payments_are_retried(shop: Shop, order: Order, error: Exception) -> None:
    paying = over(shop, TamperedStore(shop.store, before=failing(error, None, error)))
    assert isinstance(paying.pay([PayOrder(order.id, order.buyer_id)])[0], Order)
    assert len(payments(shop)) == 1


def test_a_lost_reply_of_the_commit_does_not_act_twice(shop: Shop, order: Order) -> None:
    """A retry finds its own attempt by its id, not another one."""
    lost = ConnectionLost("after the commit")
    paying = over(shop, TamperedStore(shop.store, after=failing(lost, None, lost)))
    paid = paying.pay([PayOrder(order.id, order.buyer_id)])[0]
    assert isinstance(paid, Order)
    assert paid.status is OrderStatus.PAID
    assert statuses(shop) == [PaymentStatus.CAPTURED]
    assert shop.gateway.taken == 40_00


def test_a_store_that_is_away_after_the_charge_loses_nothing(shop: Shop, order: Order) -> None:
    away: list[Exception | None] = [None, *[Unavailable("away")] * 3]
    paying = over(shop, TamperedStore(shop.store, before=failing(*away)))
    with pytest.raises(Unavailable):
        paying.pay([PayOrder(order.id, order.buyer_id)])
    assert shop.gateway.taken == 40_00
    shop.clock.advance(minutes=1)
    assert shop.payments.reconcile() == 1
    assert status(shop, order) is OrderStatus.PAID


def test_ids_come_from_the_port(shop: Shop, order: Order) -> None:
    first = CountingIds().command()
    assert start(shop, order).id == first
