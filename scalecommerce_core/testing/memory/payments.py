"""Payments in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from scalecommerce_core.domain.identifiers import OrderId, PaymentId, RefundId
from scalecommerce_core.domain.payment import Payment, PaymentRefund, PaymentStatus, RefundStatus
from scalecommerce_core.ports import Duplicate
from scalecommerce_core.testing.memory.tables import Tables, copy_payment


class MemoryPayments:
    def __init__(self, tables: Tables) -> None:
        self._payments = tables.payments
        self._refunds = tables.payment_refunds

    def add(self, payments: Collection[Payment]) -> None:
        for payment in payments:
            self._payments.put(payment.id, payment)
            self.save_refunds(payment.refunds)
        once = [(p.order_id, p.status) for p in self._payments.all() if p.status in _ONCE_PER_ORDER]
        if len(set(once)) < len(once):
            raise Duplicate("order_id")

    save = add

    def lock(self, ids: Collection[PaymentId]) -> Mapping[PaymentId, Payment]:
        return self._payments.get_many(sorted(ids))

    def open_attempts(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        return self._of(order_ids, PaymentStatus.OPEN)

    def lock_captured(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        return self._of(order_ids, PaymentStatus.CAPTURED)

    def _of(self, order_ids: Collection[OrderId], status: PaymentStatus) -> dict[OrderId, Payment]:
        found = [p for p in self._payments.all() if p.status is status and p.order_id in order_ids]
        return {p.order_id: copy_payment(p) for p in sorted(found, key=lambda p: p.id)}

    def claim_due(self, limit: int, now: datetime) -> Sequence[Payment]:
        due = [(p.check_at, p.id) for p in self._payments.all() if p.check_at is not None and p.check_at <= now]
        return list(self._payments.get_many(id_ for _, id_ in sorted(due)[:limit]).values())

    def lock_refunds(self, ids: Collection[RefundId]) -> Mapping[RefundId, PaymentRefund]:
        return self._refunds.get_many(sorted(ids))

    def save_refunds(self, refunds: Collection[PaymentRefund]) -> None:
        for refund in refunds:
            self._refunds.put(refund.id, refund)

    def claim_refunds(self, limit: int, now: datetime) -> Sequence[PaymentRefund]:
        due = [(r.try_at, r.id) for r in self._refunds.all() if r.status is RefundStatus.OPEN and r.try_at <= now]
        return list(self._refunds.get_many(id_ for _, id_ in sorted(due)[:limit]).values())


_ONCE_PER_ORDER: Final = {PaymentStatus.OPEN, PaymentStatus.CAPTURED}
