"""Payments through a gateway, in three steps: store the attempt, charge at the gateway, record the answer.

No transaction is open during the charge. If a process, a connection or an answer is lost between the steps, the attempt
stays OPEN. While it is OPEN, its order can neither expire nor be cancelled (`PaymentInProgress`); `reconcile` looks the
charge up at the gateway and settles the attempt.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from attrs import field, frozen

from scalecommerce_core.domain.audit import Actor, AuditAction
from scalecommerce_core.domain.errors import (
    ConnectionLost,
    GatewayUnavailable,
    MarketError,
    NotFound,
    PaymentDeclined,
    PaymentInProgress,
    PaymentTooLate,
    TransactionAborted,
    TransitionNotAllowed,
    Unavailable,
)
from scalecommerce_core.domain.identifiers import AccountId, OrderId, PaymentId, RefundId
from scalecommerce_core.domain.order import TRANSITIONS, Action, Order, OrderStatus
from scalecommerce_core.domain.payment import DEFAULT_METHOD, Charged, Declined, Payment, PaymentRefund, PaymentStatus
from scalecommerce_core.domain.text import cause_text
from scalecommerce_core.ports import Clock, Ids, PaymentGateway, Store
from scalecommerce_core.services.results import apply_each
from scalecommerce_core.services.retry import retry_on

logger = logging.getLogger(__name__)
T = TypeVar("T")
W = TypeVar("W")

CLAIM_LEASE: Final = timedelta(seconds=60)
"""How long other sweeps skip what one sweep has claimed; afterwards its process is presumed dead."""
MAX_CONSECUTIVE_FAILURES: Final = 3
"""A sweep ends early after so many calls in a row without an answer from the gateway."""


@frozen
class PayOrder:
    """Pay an order; `method` is a payment method token of the gateway, never a card number."""

    order_id: OrderId
    buyer: AccountId
    method: str = DEFAULT_METHOD


@frozen
class UnknownCharge:
    """The gateway has no charge with this key."""


@frozen
class NoAnswer:
    """The gateway gave no answer; `trouble` says why."""

    trouble: str = field(default="The payment gateway was not called.", eq=False)


GatewayAnswer = Charged | Declined | UnknownCharge | NoAnswer


@frozen
class PaymentResult:
    """The gateway's answer about one payment attempt."""

    payment_id: PaymentId
    order_id: OrderId
    answer: GatewayAnswer


@frozen
class PaymentRules:
    """Time limit of payment attempts; the servers set it from `PAYMENT_SECONDS`."""

    deadline: timedelta = timedelta(seconds=60)
    """After this time an attempt is not sent any more, and `reconcile` looks its charge up."""


class Payments:
    """Use cases of payments and of refunds through the gateway."""

    def __init__(
        self, store: Store, clock: Clock, *, ids: Ids, gateway: PaymentGateway, rules: PaymentRules = PaymentRules()
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._gateway = gateway
        self._rules = rules

    # --- the three steps

    def pay(self, commands: Sequence[PayOrder]) -> list[Order | MarketError]:
        """Run the three steps for each command in turn. It blocks on the gateway: do not call it in a batcher.

        Errors: those of `open` and `record`. `GatewayUnavailable`: the outcome is unknown until `reconcile` settles
        it.
        """
        opened = self.open(commands)
        results = [self.charge(attempt) for attempt in opened if isinstance(attempt, Payment)]
        recorded = iter(self.record(results) if results else ())
        return [next(recorded) if isinstance(attempt, Payment) else attempt for attempt in opened]

    def open(self, commands: Sequence[PayOrder]) -> list[Payment | Order | MarketError]:
        """Step 1: store payment attempts. Return the `Order` instead for an order that is PAID already.

        Errors: `NotFound`, `TransitionNotAllowed`, `PaymentInProgress` (another attempt of the order is open),
        `Invalid`, `Refused`.
        """
        # Ids are made before the first try, so that a retry after a lost COMMIT finds its own attempt.
        return self._open([(PaymentId(self._ids.command()), command) for command in commands])

    @retry_on(TransactionAborted, ConnectionLost)
    def _open(self, commands: Sequence[tuple[PaymentId, PayOrder]]) -> list[Payment | Order | MarketError]:
        now = self._clock.now()
        with self._store.begin() as tx:
            # Archived orders are settled, so no attempt is opened for them.
            orders = tx.orders.lock({command.order_id for _, command in commands}, restores=lambda _: False)
            being_paid = dict(tx.payments.open_attempts(orders))
            new: list[Payment] = []

            def open_attempt(numbered: tuple[PaymentId, PayOrder]) -> Payment | Order:
                id_, command = numbered
                order = _of_buyer(orders.get(command.order_id), command)
                if order.status is OrderStatus.PAID:
                    return order
                earlier = being_paid.get(order.id)
                if earlier is not None and earlier.id == id_:
                    return earlier
                payment = self._attempt(id_, order, command, now, earlier)
                being_paid[order.id] = payment
                new.append(payment)
                return payment

            outcomes = apply_each(commands, open_attempt)
            tx.payments.add(new)
            return outcomes

    def _attempt(
        self, id_: PaymentId, order: Order, command: PayOrder, now: datetime, earlier: Payment | None
    ) -> Payment:
        if not _is_payable(order):
            raise TransitionNotAllowed(order.id, order.status, Action.PAY)
        if earlier is not None:
            raise PaymentInProgress(order.id)
        return Payment.opened(
            id=id_, order_id=order.id, amount=order.total, method=command.method, now=now, timeout=self._rules.deadline
        )

    def charge(self, payment: Payment) -> PaymentResult:
        """Step 2: charge at the gateway, outside any transaction. It blocks until the gateway answers; raises nothing.

        An attempt past its deadline is not sent, because `reconcile` may be looking it up: the answer is `NoAnswer`.
        """
        if self._clock.now() >= payment.deadline:
            late = NoAnswer("The charge was not sent, because the attempt was past its deadline.")
            return PaymentResult(payment.id, payment.order_id, late)
        return PaymentResult(payment.id, payment.order_id, _answer(lambda: self._gateway.charge(payment.request())))

    @retry_on(TransactionAborted, ConnectionLost)
    def record(self, results: Sequence[PaymentResult]) -> list[Order | MarketError]:
        """Step 3: settle attempts by the gateway's answers; recording the same answer twice changes nothing.

        A charge makes its order PAID. If the order cannot be paid any more, the money is sent back and the result is
        `PaymentTooLate`. Other errors: `NotFound`, `PaymentDeclined`, `GatewayUnavailable`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            orders = tx.orders.lock({result.order_id for result in results})
            payments = tx.payments.lock({result.payment_id for result in results})
            charged = {result.order_id for result in results if isinstance(result.answer, Charged)}
            payable = [order for order in orders.values() if order.id in charged and _is_payable(order)]
            stock = tx.stock.lock({line.product_id for order in payable for line in order.lines})

            def settle(result: PaymentResult) -> Order:
                payment, order = payments.get(result.payment_id), orders.get(result.order_id)
                if payment is None or order is None or payment.order_id != order.id:
                    raise NotFound("payment", result.payment_id)
                match result.answer:
                    case Charged() if payment.is_charged:
                        pass
                    case Charged() if _is_payable(order) and payment.status is not PaymentStatus.DECLINED:
                        order.pay(stock, now)
                        payment.capture(result.answer, now)
                    case Charged():
                        payment.record_late_charge(result.answer, now)
                    case Declined():
                        payment.decline(result.answer, now)
                    case UnknownCharge():
                        payment.record_unknown(now)
                    case NoAnswer():
                        payment.schedule_check(now, result.answer.trouble)
                return _paid_order(payment, order)

            outcomes = apply_each(results, settle)
            tx.orders.save([order for order in payable if order.status is OrderStatus.PAID])
            tx.payments.save(list(payments.values()))
            tx.stock.save(list(stock.values()), now)
            return outcomes

    # --- the sweeps

    def reconcile(self, limit: int = 100) -> int:
        """Look up at the gateway up to `limit` attempts that are past their deadline; return how many were claimed.

        An attempt without a charge at the gateway becomes ABANDONED; its order can be paid or cancelled again. It is
        looked up again for `domain.payment.LATE_CHARGE_WINDOW`, because a charge may still arrive. Any number of sweeps
        may run at once.
        """
        claimed = self._claim_payments(limit)
        results = []
        for payment, answer in _call_each(claimed, lambda payment: self._gateway.find(payment.id) or UnknownCharge()):
            results.append(PaymentResult(payment.id, payment.order_id, answer))
        self._record_recordable(results)
        return len(claimed)

    @retry_on(TransactionAborted, ConnectionLost)
    def _claim_payments(self, limit: int) -> Sequence[Payment]:
        now = self._clock.now()
        with self._store.begin() as tx:
            due = tx.payments.claim_due(limit, now)
            for payment in due:
                payment.check_at = now + CLAIM_LEASE
            tx.payments.save(due)
            return due

    def _record_recordable(self, results: Sequence[PaymentResult]) -> None:
        """Record results; after an exception, halve the batch until the faulty result stands alone, and log it."""
        if not results:
            return
        try:
            self.record(results)
        except Unavailable:
            raise
        except Exception as error:
            if len(results) == 1:
                logger.exception("payment %s could not be recorded", results[0].payment_id)
                self._store_trouble(results[0].payment_id, f"The result was not stored. {cause_text(error)}")
                return
            half = len(results) // 2
            self._record_recordable(results[:half])
            self._record_recordable(results[half:])

    def _store_trouble(self, payment_id: PaymentId, trouble: str) -> None:
        """Store why an attempt was not settled; other attempts are settled even if this fails."""
        try:
            with self._store.begin() as tx:
                for payment in tx.payments.lock([payment_id]).values():
                    payment.schedule_check(self._clock.now(), cause_text(trouble))
                    tx.payments.save([payment])
        except Exception:
            logger.exception("the trouble of payment %s could not be stored", payment_id)

    @retry_on(TransactionAborted, ConnectionLost)
    def check_now(self, payment_id: PaymentId, by: Actor) -> Payment:
        """For staff: let the next sweep look up a charge whose outcome is unknown, before its `check_at`.

        Errors: `NotFound`, `NothingToRetry`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            payment = tx.payments.lock([payment_id]).get(payment_id)
            if payment is None:
                raise NotFound("payment", payment_id)
            before = {"check_at": payment.check_at, "trouble": payment.trouble}
            payment.check_now(now)
            tx.payments.save([payment])
            after = {"check_at": payment.check_at}
            tx.audit.record([by.entry(AuditAction.PAYMENT_CHECKED, payment_id, now, before=before, after=after)])
            return payment

    @retry_on(TransactionAborted, ConnectionLost)
    def send_refund_now(self, refund_id: RefundId, by: Actor) -> PaymentRefund:
        """For staff: let the next sweep send a refund that the gateway has not confirmed, before its `try_at`.

        Errors: `NotFound`, `NothingToRetry`.
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            refund = tx.payments.lock_refunds([refund_id]).get(refund_id)
            if refund is None:
                raise NotFound("refund", refund_id)
            before = {"try_at": refund.try_at, "trouble": refund.trouble}
            refund.send_now(now)
            tx.payments.save_refunds([refund])
            after = {"try_at": refund.try_at}
            tx.audit.record([by.entry(AuditAction.REFUND_SENT, refund_id, now, before=before, after=after)])
            return refund

    def send_refunds(self, limit: int = 100) -> int:
        """Send up to `limit` due refunds through the gateway; return how many were claimed.

        A refund that the gateway does not confirm is sent again with the same key (`domain.payment.retry_delay`).
        """
        claimed = self._claim_refunds(limit)

        def send(refund: PaymentRefund) -> bool:
            self._gateway.refund(refund.request())
            return True

        answers = _call_each(claimed, send)
        self._settle_refunds(
            {refund.id: answer.trouble if isinstance(answer, NoAnswer) else None for refund, answer in answers}
        )
        return len(claimed)

    @retry_on(TransactionAborted, ConnectionLost)
    def _claim_refunds(self, limit: int) -> Sequence[PaymentRefund]:
        now = self._clock.now()
        with self._store.begin() as tx:
            due = tx.payments.claim_refunds(limit, now)
            for refund in due:
                refund.try_at = now + CLAIM_LEASE
            tx.payments.save_refunds(due)
            return due

    @retry_on(TransactionAborted, ConnectionLost)
    def _settle_refunds(self, troubles: Mapping[RefundId, str | None]) -> None:
        """`troubles` says why each refund was not confirmed; None if it was."""
        now = self._clock.now()
        with self._store.begin() as tx:
            refunds = tx.payments.lock_refunds(troubles)
            for refund in refunds.values():
                trouble = troubles[refund.id]
                if trouble is None:
                    refund.confirm(now)
                else:
                    refund.postpone(now, trouble)
            tx.payments.save_refunds(list(refunds.values()))


def _of_buyer(order: Order | None, command: PayOrder) -> Order:
    if order is None or order.buyer_id != command.buyer:
        raise NotFound("order", command.order_id)
    return order


def _is_payable(order: Order) -> bool:
    return (order.status, Action.PAY) in TRANSITIONS


def _paid_order(payment: Payment, order: Order) -> Order:
    """The order if the attempt paid it; raise the error that the status of the attempt stands for."""
    match payment.status:
        case PaymentStatus.CAPTURED:
            return order
        case PaymentStatus.TOO_LATE:
            raise PaymentTooLate(order.id, order.status)
        case PaymentStatus.DECLINED:
            raise PaymentDeclined(order.id, payment.reason or "")
        case _:
            raise GatewayUnavailable(
                "The payment gateway has not answered yet. The payment is not lost: read the order again in a moment."
            )


def _answer(call: Callable[[], T]) -> T | NoAnswer:
    """Call the gateway. Any other exception of its adapter counts as no answer too, because money may have moved."""
    try:
        return call()
    except GatewayUnavailable as error:
        logger.warning("the payment gateway does not answer: %s", error)
        return NoAnswer(cause_text(error))
    except Exception as error:
        logger.exception("the adapter of the payment gateway failed")
        return NoAnswer(cause_text(error))


def _call_each(items: Iterable[W], call: Callable[[W], T]) -> Iterator[tuple[W, T | NoAnswer]]:
    """Pairs of item and answer; ends early after `MAX_CONSECUTIVE_FAILURES`. The rest is retried after its lease."""
    failures = 0
    for item in items:
        answer = _answer(partial(call, item))
        yield item, answer
        failures = failures + 1 if isinstance(answer, NoAnswer) else 0
        if failures >= MAX_CONSECUTIVE_FAILURES:
            return
