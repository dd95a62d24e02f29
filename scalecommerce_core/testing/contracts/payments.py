"""Tests of payment attempts, due checks and refunds."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest

from scalecommerce_core.domain.identifiers import AccountId, OrderId, PaymentId, RefundId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.payment import MAX_AMOUNT, Charged, Declined, Payment
from scalecommerce_core.ports import Duplicate, Store
from scalecommerce_core.ports.orders import UnsettledOrder
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, Stage, usd
from scalecommerce_core.testing.contracts.transactions import run_in_threads

LASTING = timedelta(seconds=60)


def attempt(order_id: OrderId, minor: int = 10_00) -> Payment:
    return Payment.opened(
        id=PaymentId(uuid4()), order_id=order_id, amount=usd(minor), method="card", now=NOW, timeout=LASTING
    )


def add_payments(store: Store, *payments: Payment) -> None:
    with store.begin() as tx:
        tx.payments.add(payments)


def pending(store: Store, count: int) -> list[OrderId]:
    stage = Stage(store)
    buyer, product = stage.account(), stage.product()
    return [stage.order(buyer, {product: 1}, OrderStatus.PENDING) for _ in range(count)]


class PaymentsContract:
    def test_payments_are_stored_in_every_state(self, store: Store) -> None:
        payments = [attempt(order_id) for order_id in pending(store, 5)]
        _, captured, declined, abandoned, late = payments
        add_payments(store, *payments)
        captured.capture(Charged("c-1"), NOW + SECOND)
        captured.add_refund(3_00, NOW + SECOND)
        declined.decline(Declined("no"), NOW + SECOND)
        abandoned.record_unknown(abandoned.deadline)
        payments[0].schedule_check(payments[0].deadline, "no answer")
        late.record_late_charge(Charged("c-2"), NOW + SECOND)
        with store.begin() as tx:
            tx.payments.save(payments)
        with store.begin() as tx:
            found = tx.payments.lock([*(payment.id for payment in payments), PaymentId(uuid4())])
            assert found == {payment.id: payment for payment in payments}
            assert list(found) == sorted(found)
            assert all(payment.refunds == [] for payment in found.values())
            assert tx.payments.lock([]) == {}
            refunds = [refund for payment in payments for refund in payment.refunds]
            assert tx.payments.lock_refunds([refund.id for refund in refunds]) == {r.id: r for r in refunds}
            assert tx.payments.lock_refunds([RefundId(uuid4())]) == tx.payments.lock_refunds([]) == {}

    def test_unsettled_orders_are_found_by_buyer_and_seller(self, store: Store) -> None:
        stage = Stage(store)
        buyer, seller, stranger = stage.account(), stage.account(), stage.account()
        product = stage.product(seller=seller)
        created, reserved, paying, refunding, settled = (
            stage.order(buyer, {product: 1}, status)
            for status in (OrderStatus.CREATED, OrderStatus.PENDING, OrderStatus.CANCELLED, *[OrderStatus.PAID] * 2)
        )
        stage.order(stranger, {stage.product(seller=stranger): 1}, OrderStatus.PENDING)
        open_, charged, done = attempt(paying), attempt(refunding), attempt(settled)
        add_payments(store, open_, charged, done)
        for payment in (charged, done):
            payment.capture(Charged("c"), NOW)
        charged.add_refund(1_00, NOW)
        with store.begin() as tx:
            tx.payments.save([charged, done])
        with store.begin() as tx:
            for account in (buyer, seller):
                assert tx.orders.unsettled(account, 10) == [
                    UnsettledOrder(id_, is_own=account == buyer, is_unpaid=id_ in {created, reserved})
                    for id_ in (created, reserved, paying, refunding)
                ]
            assert [order.id for order in tx.orders.unsettled(buyer, 2)] == [created, reserved]
            assert len(tx.orders.unsettled(stranger, 10)) == 1
            assert tx.orders.unsettled(AccountId(10**12), 10) == []

    def test_payments_are_found_by_their_orders(self, store: Store) -> None:
        first, second, third = pending(store, 3)
        open_, paid, old = attempt(first), attempt(second), attempt(first)
        paid.capture(Charged("c"), NOW)
        old.decline(Declined("no"), NOW)
        add_payments(store, open_, paid, old)
        with store.begin() as tx:
            assert tx.payments.open_attempts([first, second, third]) == {first: open_}
            assert tx.payments.lock_captured([first, second, third]) == {second: paid}
            assert (
                tx.payments.open_attempts([second])
                == tx.payments.open_attempts([])
                == tx.payments.lock_captured([])
                == {}
            )

    def test_an_order_has_one_open_attempt_and_one_captured_payment(self, store: Store) -> None:
        (order_id,) = pending(store, 1)
        add_payments(store, attempt(order_id))
        with pytest.raises(Duplicate):
            add_payments(store, attempt(order_id))
        (other,) = pending(store, 1)
        for again in (False, True):
            paid = attempt(other)
            paid.capture(Charged("c"), NOW)
            if again:
                with pytest.raises(Duplicate):
                    add_payments(store, paid)
            else:
                add_payments(store, paid)

    def test_due_payments_are_claimed_in_order(self, store: Store) -> None:
        first, second, third, settled = (attempt(order_id) for order_id in pending(store, 4))
        first.check_at, second.check_at, third.check_at = NOW + 2 * SECOND, NOW + SECOND, NOW + 3 * SECOND
        settled.decline(Declined("no"), NOW)
        add_payments(store, first, second, third, settled)

        def claimed(seconds: int, limit: int = 10) -> list[PaymentId]:
            with store.begin() as tx:
                return [payment.id for payment in tx.payments.claim_due(limit, NOW + seconds * SECOND)]

        assert claimed(0) == []
        assert claimed(1) == [second.id]
        assert claimed(9) == [second.id, first.id, third.id]
        assert claimed(9, limit=2) == [second.id, first.id]

    def test_due_refunds_are_claimed_in_order(self, store: Store) -> None:
        (order_id,) = pending(store, 1)
        payment = attempt(order_id)
        payment.capture(Charged("c"), NOW)
        for seconds in (2, 1, 0):
            payment.add_refund(1_00, NOW + seconds * SECOND)
        add_payments(store, payment)
        late, soon, done = payment.refunds
        done.confirm(NOW)
        with store.begin() as tx:
            tx.payments.save_refunds([done])

        def claimed(seconds: int, limit: int = 10) -> list[RefundId]:
            with store.begin() as tx:
                return [refund.id for refund in tx.payments.claim_refunds(limit, NOW + seconds * SECOND)]

        assert claimed(0) == []
        assert claimed(1) == [soon.id]
        assert claimed(2) == [soon.id, late.id]
        assert claimed(2, limit=1) == [soon.id]
        late.postpone(NOW + 2 * SECOND, "no answer")
        with store.begin() as tx:
            tx.payments.save_refunds([late])
        with store.begin() as tx:
            assert tx.payments.lock_refunds([late.id]) == {late.id: late}
        assert claimed(3) == [soon.id]
        assert claimed(4) == [soon.id, late.id]

    def test_orders_that_are_being_paid_do_not_expire(self, store: Store) -> None:
        waiting, free, tried = pending(store, 3)
        failed = attempt(tried)
        failed.decline(Declined("no"), NOW)
        add_payments(store, attempt(waiting), failed)
        with store.begin() as tx:
            expired = tx.orders.claim_expired(10, NOW + timedelta(days=2))
        assert [order.id for order in expired] == [free, tried]

    def test_concurrent_sweeps_claim_each_payment_once(self, store: Store) -> None:
        payments = [attempt(order_id) for order_id in pending(store, 6)]
        add_payments(store, *payments)
        claims: list[PaymentId] = []
        start = threading.Barrier(2)

        def sweep() -> None:
            start.wait(10)
            for _ in range(20):
                with store.begin() as tx:
                    due = tx.payments.claim_due(2, NOW + LASTING)
                    for payment in due:
                        payment.check_at = NOW + 2 * LASTING
                    tx.payments.save(due)
                    claims.extend(payment.id for payment in due)

        run_in_threads(sweep, sweep)
        assert sorted(claims) == sorted(payment.id for payment in payments)

    def test_the_largest_amount_is_stored_exactly(self, store: Store) -> None:
        (order_id,) = pending(store, 1)
        payment = attempt(order_id, MAX_AMOUNT)
        add_payments(store, payment)
        payment.record_late_charge(Charged("c"), NOW)
        with store.begin() as tx:
            tx.payments.save([payment])
            assert tx.payments.lock([payment.id]) == {payment.id: payment}
            (refund,) = tx.payments.claim_refunds(1, NOW)
        assert refund.amount.minor == MAX_AMOUNT
