"""Payments and payment gateways."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import OrderId, PaymentId, RefundId
from scalecommerce_core.domain.payment import Charged, ChargeRequest, Declined, Payment, PaymentRefund, RefundRequest


class PaymentRepository(Protocol):
    """`add` and `save` also append the refunds that the payments carry.

    Attempts are opened and settled under their order's lock only.
    """

    def add(self, payments: Collection[Payment]) -> None: ...

    def lock(self, ids: Collection[PaymentId]) -> Mapping[PaymentId, Payment]:
        """In id order."""
        ...

    def save(self, payments: Collection[Payment]) -> None: ...

    def open_attempts(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        """The attempts that these orders wait for, read without a lock: certain while the orders are locked."""
        ...

    def lock_captured(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        """The charges that these orders were PAID with, locked in id order."""
        ...

    def claim_due(self, limit: int, now: datetime) -> Sequence[Payment]:
        """Lock payments whose `check_at` has come, the longest due first, skipping those that others have locked."""
        ...

    def lock_refunds(self, ids: Collection[RefundId]) -> Mapping[RefundId, PaymentRefund]:
        """In id order."""
        ...

    def save_refunds(self, refunds: Collection[PaymentRefund]) -> None: ...

    def claim_refunds(self, limit: int, now: datetime) -> Sequence[PaymentRefund]:
        """Lock OPEN refunds whose `try_at` has come, the longest due first, skipping those that others have locked."""
        ...


class PaymentGateway(Protocol):
    """Takes money and sends it back, at most once per key, however often and from wherever it is asked.

    Raise `GatewayUnavailable` when the outcome is not known: no answer in time, a broken connection, a server error.
    It is never called inside a transaction, and from many threads at once. Its own timeouts must be well below the
    deadline of an attempt (`PaymentRules`).
    """

    def charge(self, request: ChargeRequest) -> Charged | Declined:
        """The same key gets the same answer, also while the first request with it is at work."""
        ...

    def find(self, key: PaymentId) -> Charged | Declined | None:
        """What became of a charge; None: it is not known (yet)."""
        ...

    def refund(self, request: RefundRequest) -> None:
        """Return when the gateway has confirmed it."""
        ...
