"""Payments and their refunds. Partial indexes serve as queues of due payments and refunds."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, bindparam, select

from adapters.db.core.bulk_statements import Insert, Row, Update, equals_any, id_array, text_array
from adapters.db.core.session import SqlSession
from adapters.db.schema import Moment, payment_refunds, payments
from scalecommerce_core.domain.identifiers import OrderId, PaymentId, RefundId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.payment import Payment, PaymentRefund, PaymentStatus, RefundStatus

_STATE: Final = ("status", "updated_at", "check_at", "checks", "reference", "reason", "refunded", "trouble")
_COLUMNS: Final = ("id", "order_id", "amount", "currency", "method", "created_at", "deadline", *_STATE)
_REFUND_STATE: Final = ("status", "try_at", "tries", "done_at", "trouble")
_REFUND_COLUMNS: Final = ("id", "payment_id", "reference", "amount", "currency", "created_at", *_REFUND_STATE)

_INSERT: Final = Insert(payments, *_COLUMNS)
_UPDATE: Final = Update(payments, ["id"], *_STATE)
_INSERT_REFUNDS: Final = Insert(payment_refunds, *_REFUND_COLUMNS)
_UPDATE_REFUNDS: Final = Update(payment_refunds, ["id"], *_REFUND_STATE)

_SELECTED: Final = select(*(payments.c[name] for name in _COLUMNS))
_LOCK: Final = _SELECTED.where(equals_any(payments.c.id)).order_by(payments.c.id).with_for_update(key_share=True)
_OPEN_OF: Final = _SELECTED.where(equals_any(payments.c.order_id), payments.c.status == PaymentStatus.OPEN.value)
_LOCK_CAPTURED: Final = (
    _SELECTED.where(equals_any(payments.c.order_id), payments.c.status == PaymentStatus.CAPTURED.value)
    .order_by(payments.c.id)
    .with_for_update(key_share=True)
)
_DUE: Final = (
    _SELECTED.where(payments.c.check_at <= bindparam("now", type_=Moment))
    .order_by(payments.c.check_at, payments.c.id)
    .limit(bindparam("limit"))
    .with_for_update(key_share=True, skip_locked=True)
)
_REFUNDS: Final = select(*(payment_refunds.c[name] for name in _REFUND_COLUMNS))
_LOCK_REFUNDS: Final = (
    _REFUNDS.where(equals_any(payment_refunds.c.id)).order_by(payment_refunds.c.id).with_for_update(key_share=True)
)
_DUE_REFUNDS: Final = (
    _REFUNDS.where(
        payment_refunds.c.status == RefundStatus.OPEN.value,
        payment_refunds.c.try_at <= bindparam("now", type_=Moment),
    )
    .order_by(payment_refunds.c.try_at, payment_refunds.c.id)
    .limit(bindparam("limit"))
    .with_for_update(key_share=True, skip_locked=True)
)


class PostgresPaymentRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def add(self, new: Collection[Payment]) -> None:
        self._sql.insert(
            _INSERT,
            [
                (p.id, p.order_id, p.amount.minor, p.amount.currency, p.method, p.created_at, p.deadline, *_state(p))
                for p in new
            ],
        )
        self._append_refunds(new)

    def lock(self, ids: Collection[PaymentId]) -> Mapping[PaymentId, Payment]:
        return {payment.id: payment for payment in self._payments(_LOCK, {"ids": text_array(ids)})} if ids else {}

    def save(self, changed: Collection[Payment]) -> None:
        self._sql.update(_UPDATE, [(payment.id, *_state(payment)) for payment in changed])
        self._append_refunds(changed)

    def open_attempts(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        return self._of(_OPEN_OF, order_ids)

    def lock_captured(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        return self._of(_LOCK_CAPTURED, order_ids)

    def _of(self, statement: Select[Any], order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        if not order_ids:
            return {}
        return {payment.order_id: payment for payment in self._payments(statement, {"ids": id_array(order_ids)})}

    def claim_due(self, limit: int, now: datetime) -> Sequence[Payment]:
        return self._payments(_DUE, {"limit": limit, "now": now})

    def lock_refunds(self, ids: Collection[RefundId]) -> Mapping[RefundId, PaymentRefund]:
        if not ids:
            return {}
        return {refund.id: refund for refund in self._refunds(_LOCK_REFUNDS, {"ids": text_array(ids)})}

    def save_refunds(self, refunds: Collection[PaymentRefund]) -> None:
        self._sql.update(_UPDATE_REFUNDS, [(refund.id, *_refund_state(refund)) for refund in refunds])

    def claim_refunds(self, limit: int, now: datetime) -> Sequence[PaymentRefund]:
        return self._refunds(_DUE_REFUNDS, {"limit": limit, "now": now})

    def _payments(self, statement: Select[Any], parameters: Mapping[str, object]) -> list[Payment]:
        return [_payment(row) for row in self._sql.fetch_all(statement, parameters)]

    def _refunds(self, statement: Select[Any], parameters: Mapping[str, object]) -> list[PaymentRefund]:
        return [_refund(row) for row in self._sql.fetch_all(statement, parameters)]

    def _append_refunds(self, written: Collection[Payment]) -> None:
        self._sql.insert(
            _INSERT_REFUNDS,
            [
                (r.id, r.payment_id, r.reference, r.amount.minor, r.amount.currency, r.created_at, *_refund_state(r))
                for payment in written
                for r in payment.refunds
            ],
        )


def _state(payment: Payment) -> Row:
    return tuple(getattr(payment, name) for name in _STATE)


def _refund_state(refund: PaymentRefund) -> Row:
    return tuple(getattr(refund, name) for name in _REFUND_STATE)


def _payment(row: Sequence[Any]) -> Payment:
    (
        id_, order_id, amount, currency, method, created_at, deadline, status, updated_at, check_at, checks, reference,
        reason, refunded, trouble,
    ) = row  # fmt: skip
    return Payment(
        id=PaymentId(id_),
        order_id=OrderId(order_id),
        amount=Money(int(amount), currency),
        method=method,
        created_at=created_at,
        deadline=deadline,
        updated_at=updated_at,
        check_at=check_at,
        status=PaymentStatus(status),
        checks=checks,
        reference=reference,
        reason=reason,
        refunded=int(refunded),
        trouble=trouble,
    )


def _refund(row: Sequence[Any]) -> PaymentRefund:
    id_, payment_id, reference, amount, currency, created_at, status, try_at, tries, done_at, trouble = row
    return PaymentRefund(
        id=RefundId(id_),
        payment_id=PaymentId(payment_id),
        reference=reference,
        amount=Money(int(amount), currency),
        created_at=created_at,
        try_at=try_at,
        status=RefundStatus(status),
        tries=tries,
        done_at=done_at,
        trouble=trouble,
    )
