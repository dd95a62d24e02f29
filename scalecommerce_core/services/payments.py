"""Paying through a gateway: the attempt is written first, then the gateway is asked, then its answer is recorded.

No transaction is open while the gateway works. Whatever gets lost between the three steps (a process, a connection, an
answer) leaves an OPEN attempt behind, whose order can neither expire nor be cancelled, and `reconcile` finds out.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from attrs import frozen

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
from scalecommerce_core.ports import Clock, Ids, PaymentGateway, Store
from scalecommerce_core.services.retry import retry_on

logger = logging.getLogger(__name__)
T = TypeVar("T")
W = TypeVar("W")

CLAIM_LEASE: Final = timedelta(seconds=60)
"""What a sweep has claimed is left alone for so long; after it, its process is taken for dead."""
MAX_CONSECUTIVE_FAILURES: Final = 3
"""A sweep that gets no answer so often in a row gives the gateway a rest."""


@frozen
class PayOrder:
    """`method` is a token of the gateway's own making: card numbers have no business here."""

    order_id: OrderId
    buyer: AccountId
    method: str = DEFAULT_METHOD


@frozen
class UnknownCharge:
    """The gateway knows of no such charge."""


@frozen
class NoAnswer:
    """The gateway gave no answer."""


GatewayAnswer = Charged | Declined | UnknownCharge | NoAnswer


@frozen
class PaymentResult:
    """What the gateway said of an attempt."""

    payment_id: PaymentId
    order_id: OrderId
    answer: GatewayAnswer


@frozen
class PaymentRules:
    """How long an attempt may take before the gateway is asked what became of it."""

    deadline: timedelta = timedelta(seconds=60)


class Payments:
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
        """Open, charge and record, one after the other: for callers that have the time. Never call it in a batcher.

        `GatewayUnavailable` means that nobody knows yet; `PaymentInProgress` that somebody is at it.
        """
        opened = self.open(commands)
        results = [self.charge(attempt) for attempt in opened if isinstance(attempt, Payment)]
        recorded = iter(self.record(results) if results else ())
        return [next(recorded) if isinstance(attempt, Payment) else attempt for attempt in opened]

    def open(self, commands: Sequence[PayOrder]) -> list[Payment | Order | MarketError]:
        """Write attempts down: the orders wait for them from now on. A PAID order of the buyer is the answer itself."""
        # Before the first try, so that a try after a lost COMMIT finds its own attempt.
        return self._open([(PaymentId(self._ids.command()), command) for command in commands])

    @retry_on(TransactionAborted, ConnectionLost)
    def _open(self, commands: Sequence[tuple[PaymentId, PayOrder]]) -> list[Payment | Order | MarketError]:
        now = self._clock.now()
        with self._store.begin() as tx:
            orders = tx.orders.lock({command.order_id for _, command in commands})
            being_paid = dict(tx.payments.open_attempts(orders))
            outcomes: list[Payment | Order | MarketError] = []
            new = []
            for id_, command in commands:
                try:
                    order = _of_buyer(orders.get(command.order_id), command)
                    if order.status is OrderStatus.PAID:
                        outcomes.append(order)
                        continue
                    earlier = being_paid.get(order.id)
                    payment = earlier if earlier is not None and earlier.id == id_ else None
                    if payment is None:
                        payment = self._attempt(id_, order, command, now, earlier)
                        being_paid[order.id] = payment
                        new.append(payment)
                except MarketError as error:
                    outcomes.append(error)
                else:
                    outcomes.append(payment)
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
        """Ask the gateway for the money; outside of any transaction, as long as it takes. Raises nothing.

        An attempt whose deadline has passed meanwhile (a long queue) is not sent: somebody may be looking for it.
        """
        if self._clock.now() >= payment.deadline:
            return PaymentResult(payment.id, payment.order_id, NoAnswer())
        return PaymentResult(payment.id, payment.order_id, _answer(lambda: self._gateway.charge(payment.request())))

    @retry_on(TransactionAborted, ConnectionLost)
    def record(self, results: Sequence[PaymentResult]) -> list[Order | MarketError]:
        """Settle attempts by what the gateway said; recording the same twice is harmless.

        A charge makes its order PAID, or, where that cannot be any more, is sent back (`PaymentTooLate`).
        """
        now = self._clock.now()
        with self._store.begin() as tx:
            orders = tx.orders.lock({result.order_id for result in results})
            payments = tx.payments.lock({result.payment_id for result in results})
            charged = {result.order_id for result in results if isinstance(result.answer, Charged)}
            payable = [order for order in orders.values() if order.id in charged and _is_payable(order)]
            stock = tx.stock.lock({line.product_id for order in payable for line in order.lines})
            outcomes: list[Order | MarketError] = []
            for result in results:
                payment, order = payments.get(result.payment_id), orders.get(result.order_id)
                if payment is None or order is None or payment.order_id != order.id:
                    outcomes.append(NotFound("payment", result.payment_id))
                    continue
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
                        payment.schedule_check(now)
                outcomes.append(_outcome(payment, order))
            tx.orders.save([order for order in payable if order.status is OrderStatus.PAID])
            tx.payments.save(list(payments.values()))
            tx.stock.save(list(stock.values()), now)
            return outcomes

    # --- the sweeps

    def reconcile(self, limit: int = 100) -> int:
        """Ask the gateway about up to `limit` attempts that nobody has settled in time; return how many it took up.

        Attempts that the gateway does not know are abandoned, which frees their orders; they are looked for again for
        a day, since a charge may still arrive. Any number of sweeps may run at once.
        """
        waiting = self._claim_payments(limit)
        results = []
        for payment, answer in _asked(waiting, lambda payment: self._gateway.find(payment.id) or UnknownCharge()):
            results.append(PaymentResult(payment.id, payment.order_id, answer))
        self._record_what_can_be(results)
        return len(waiting)

    @retry_on(TransactionAborted, ConnectionLost)
    def _claim_payments(self, limit: int) -> Sequence[Payment]:
        now = self._clock.now()
        with self._store.begin() as tx:
            due = tx.payments.claim_due(limit, now)
            for payment in due:
                payment.check_at = now + CLAIM_LEASE
            tx.payments.save(due)
            return due

    def _record_what_can_be(self, results: Sequence[PaymentResult]) -> None:
        """One that cannot be recorded must not keep the others back: halve until it stands alone."""
        if not results:
            return
        try:
            self.record(results)
        except Unavailable:
            raise
        except Exception:
            if len(results) == 1:
                logger.exception("payment %s could not be recorded", results[0].payment_id)
                return
            half = len(results) // 2
            self._record_what_can_be(results[:half])
            self._record_what_can_be(results[half:])

    def send_refunds(self, limit: int = 100) -> int:
        """Send up to `limit` refunds that are due through the gateway; return how many it took up.

        One that the gateway does not confirm is sent again, under its key, after pauses that grow to an hour.
        """
        waiting = self._claim_refunds(limit)

        def send(refund: PaymentRefund) -> bool:
            self._gateway.refund(refund.request())
            return True

        self._settle_refunds({refund.id: answer is True for refund, answer in _asked(waiting, send)})
        return len(waiting)

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
    def _settle_refunds(self, confirmed: Mapping[RefundId, bool]) -> None:
        now = self._clock.now()
        with self._store.begin() as tx:
            refunds = tx.payments.lock_refunds(confirmed)
            for refund in refunds.values():
                if confirmed[refund.id]:
                    refund.confirm(now)
                else:
                    refund.postpone(now)
            tx.payments.save_refunds(list(refunds.values()))


def _of_buyer(order: Order | None, command: PayOrder) -> Order:
    if order is None or order.buyer_id != command.buyer:
        raise NotFound("order", command.order_id)
    return order


def _is_payable(order: Order) -> bool:
    return (order.status, Action.PAY) in TRANSITIONS


def _outcome(payment: Payment, order: Order) -> Order | MarketError:
    match payment.status:
        case PaymentStatus.CAPTURED:
            return order
        case PaymentStatus.TOO_LATE:
            return PaymentTooLate(order.id, order.status)
        case PaymentStatus.DECLINED:
            return PaymentDeclined(order.id, payment.reason or "")
        case _:
            return GatewayUnavailable(
                "The payment gateway has not answered yet. Nothing is lost: look at the order in a moment."
            )


def _answer(ask: Callable[[], T]) -> T | NoAnswer:
    """An adapter that fails in a way of its own has not answered either: the money may have moved."""
    try:
        return ask()
    except GatewayUnavailable as error:
        logger.warning("the payment gateway does not answer: %s", error)
    except Exception:
        logger.exception("the payment gateway's adapter failed")
    return NoAnswer()


def _asked(waiting: Iterable[W], ask: Callable[[W], T]) -> Iterator[tuple[W, T | NoAnswer]]:
    """Each with its answer; after some silence the rest are left for when their lease is over."""
    silent = 0
    for each in waiting:
        answer = _answer(partial(ask, each))
        yield each, answer
        silent = silent + 1 if isinstance(answer, NoAnswer) else 0
        if silent >= MAX_CONSECUTIVE_FAILURES:
            return
