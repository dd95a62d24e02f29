"""Payments and payment gateways."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from scalecommerce_core.domain.identifiers import OrderId, PaymentId, RefundId
from scalecommerce_core.domain.payment import Charged, ChargeRequest, Declined, Payment, PaymentRefund, RefundRequest


class PaymentRepository(Protocol):
    """Payment attempts. `add` and `save` also write the refunds that the payments carry.

    An attempt is opened and settled only by a transaction that holds the lock of its order.
    """

    def add(self, payments: Collection[Payment]) -> None:
        """Insert attempts."""
        ...

    def lock(self, ids: Collection[PaymentId]) -> Mapping[PaymentId, Payment]:
        """Lock and read attempts, in id order."""
        ...

    def save(self, payments: Collection[Payment]) -> None:
        """Update attempts that this transaction has locked."""
        ...

    def open_attempts(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        """The OPEN attempt of each order, read without a lock; reliable while the orders are locked."""
        ...

    def lock_captured(self, order_ids: Collection[OrderId]) -> Mapping[OrderId, Payment]:
        """Lock and read the CAPTURED attempt of each order, in id order."""
        ...

    def claim_due(self, limit: int, now: datetime) -> Sequence[Payment]:
        """Lock attempts whose `check_at` has passed, the longest due first, skipping locked ones."""
        ...

    def lock_refunds(self, ids: Collection[RefundId]) -> Mapping[RefundId, PaymentRefund]:
        """Lock and read refunds, in id order."""
        ...

    def save_refunds(self, refunds: Collection[PaymentRefund]) -> None:
        """Update refunds that this transaction has locked."""
        ...

    def claim_refunds(self, limit: int, now: datetime) -> Sequence[PaymentRefund]:
        """Lock OPEN refunds whose `try_at` has passed, the longest due first, skipping locked ones."""
        ...


class PaymentGateway(Protocol):
    """Charges and refunds money, at most once per key, however often and from whichever process it is called.

    Methods raise `GatewayUnavailable` when the outcome is unknown: no answer in time, a broken connection, a server
    error. They are called from many threads and never inside a transaction. The timeouts of an adapter must be well
    below `PaymentRules.deadline`.
    """

    def charge(self, request: ChargeRequest) -> Charged | Declined:
        """Charge the amount. The same key gets the same answer, also while its first request is being processed."""
        ...

    def find(self, key: PaymentId) -> Charged | Declined | None:
        """The outcome of a charge; None if the gateway has no charge with this key (yet)."""
        ...

    def refund(self, request: RefundRequest) -> None:
        """Send the amount back; return once the gateway has confirmed it."""
        ...
