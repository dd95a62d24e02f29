"""Payments: one aggregate per attempt to charge for an order, and the money that is to be sent back.

An attempt is written before the gateway is asked and settled after it has answered. Between the two anything may
happen to us, so what became of a charge is looked up by the attempt's key until it is known.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import uuid5

from attrs import define, field, frozen, setters

from scalecommerce_core.domain.errors import Invalid, LedgerInconsistent, Refused
from scalecommerce_core.domain.identifiers import OrderId, PaymentId, RefundId
from scalecommerce_core.domain.money import Money

AMOUNT_DIGITS: Final = 21
"""The largest order has 100 lines of 900,000,000 units at 99,999,999.99: that many digits of minor units."""
MAX_AMOUNT: Final = 10**AMOUNT_DIGITS - 1
MAX_TEXT: Final = 255
"""Letters of a method, a reference and a reason."""
DEFAULT_METHOD: Final = "default"
"""However the buyer usually pays: for the gateway to know."""

FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(hours=1)
LATE_CHARGE_WINDOW: Final = timedelta(hours=24)
"""So long after its deadline an attempt that the gateway does not know is looked for again: the charge may be late."""


def retry_delay(tries: int) -> timedelta:
    """Between looks, and between tries to send money back: 2 s, twice as long each time, at most an hour."""
    return min(FIRST_PAUSE * (1 << min(tries, 20)), LONGEST_PAUSE)


# --- what is said to gateways, and what they answer


@frozen
class ChargeRequest:
    """Take `amount` by `method`, at most once per `key`."""

    key: PaymentId
    order_id: OrderId
    amount: Money
    method: str


@frozen
class RefundRequest:
    """Send `amount` of the charge `payment` back, at most once per `key`; the gateway calls the charge `reference`."""

    key: RefundId
    payment: PaymentId
    reference: str
    amount: Money


@frozen
class Charged:
    """The money was taken; `reference` is what the gateway calls the charge, in at most `MAX_TEXT` letters."""

    reference: str


@frozen
class Declined:
    """No money was taken, nor will be under this key; `reason` is a word such as `insufficient_funds`."""

    reason: str


# --- one attempt


class PaymentStatus(StrEnum):
    OPEN = "OPEN"
    """The gateway is being asked, or its answer was lost: the order waits."""
    CAPTURED = "CAPTURED"
    """Charged, and the order was PAID with it."""
    DECLINED = "DECLINED"
    ABANDONED = "ABANDONED"
    """Past its deadline, and unknown to the gateway: the order is free again. It is still watched."""
    TOO_LATE = "TOO_LATE"
    """Charged when the order could not be paid any more: all of it is sent back."""


class Finding(StrEnum):
    """What is learned about an attempt."""

    CHARGED = "charged"
    CHARGED_TOO_LATE = "charged too late"
    DECLINED = "declined"
    UNKNOWN = "unknown to the gateway, past the deadline"


PAYMENT_TRANSITIONS: Final[Mapping[tuple[PaymentStatus, Finding], PaymentStatus]] = {
    (PaymentStatus.OPEN, Finding.CHARGED): PaymentStatus.CAPTURED,
    (PaymentStatus.OPEN, Finding.CHARGED_TOO_LATE): PaymentStatus.TOO_LATE,
    (PaymentStatus.OPEN, Finding.DECLINED): PaymentStatus.DECLINED,
    (PaymentStatus.OPEN, Finding.UNKNOWN): PaymentStatus.ABANDONED,
    # A charge that arrives late still pays an order that waits for it.
    (PaymentStatus.ABANDONED, Finding.CHARGED): PaymentStatus.CAPTURED,
    (PaymentStatus.ABANDONED, Finding.CHARGED_TOO_LATE): PaymentStatus.TOO_LATE,
    (PaymentStatus.ABANDONED, Finding.DECLINED): PaymentStatus.DECLINED,
    # No gateway should change its mind; one that does has the buyer's money.
    (PaymentStatus.DECLINED, Finding.CHARGED_TOO_LATE): PaymentStatus.TOO_LATE,
}


class RefundStatus(StrEnum):
    OPEN = "OPEN"
    DONE = "DONE"


@define
class PaymentRefund:
    """Money on its way back: sent again under the same key until the gateway confirms."""

    id: RefundId = field(on_setattr=setters.frozen)
    payment_id: PaymentId = field(on_setattr=setters.frozen)
    reference: str = field(on_setattr=setters.frozen)
    amount: Money = field(on_setattr=setters.frozen)
    created_at: datetime = field(on_setattr=setters.frozen)
    try_at: datetime
    status: RefundStatus = RefundStatus.OPEN
    tries: int = 0
    done_at: datetime | None = None

    def request(self) -> RefundRequest:
        return RefundRequest(self.id, self.payment_id, self.reference, self.amount)

    def confirm(self, now: datetime) -> None:
        """The gateway has sent it; repeating this is harmless."""
        if self.status is RefundStatus.OPEN:
            self.status, self.done_at = RefundStatus.DONE, now

    def postpone(self, now: datetime) -> None:
        """The gateway did not confirm it: try again after a pause."""
        self.try_at = now + retry_delay(self.tries)
        self.tries += 1


@define
class Payment:
    """One attempt to charge for an order. Only the methods below change `status`, along `PAYMENT_TRANSITIONS`."""

    id: PaymentId = field(on_setattr=setters.frozen)
    order_id: OrderId = field(on_setattr=setters.frozen)
    amount: Money = field(on_setattr=setters.frozen)
    method: str = field(on_setattr=setters.frozen)
    created_at: datetime = field(on_setattr=setters.frozen)
    deadline: datetime = field(on_setattr=setters.frozen)
    """The gateway is not asked for the charge after it; then what it does not know is abandoned."""
    updated_at: datetime
    check_at: datetime | None
    """When the gateway is asked what it knows of this; None: it is settled."""
    status: PaymentStatus = PaymentStatus.OPEN
    checks: int = 0
    reference: str | None = None
    reason: str | None = None
    refunded: int = 0
    """Minor units that were sent back or are on their way."""
    refunds: list[PaymentRefund] = field(factory=list, eq=False, repr=False)
    """Those made since the payment was loaded, to be appended."""

    @classmethod
    def opened(
        cls,
        *,
        id: PaymentId,  # noqa: A002 - the field's name
        order_id: OrderId,
        amount: Money,
        method: str,
        now: datetime,
        timeout: timedelta,
    ) -> "Payment":
        """A new attempt; raise `Invalid` for a method that is none, `Refused` for an amount that no gateway takes."""
        if not 1 <= len(method) <= MAX_TEXT or not method.isprintable() or not method.isascii():
            raise Invalid.field("payment_method", f"1 to {MAX_TEXT} printable ASCII characters are wanted.")
        if not 1 <= amount.minor <= MAX_AMOUNT:
            raise Refused(f"{amount} cannot be paid at once.")
        deadline = now + timeout
        return cls(
            id=id, order_id=order_id, amount=amount, method=method, created_at=now, deadline=deadline, updated_at=now,
            check_at=deadline,
        )  # fmt: skip

    @property
    def is_charged(self) -> bool:
        return self.status in {PaymentStatus.CAPTURED, PaymentStatus.TOO_LATE}

    def request(self) -> ChargeRequest:
        return ChargeRequest(self.id, self.order_id, self.amount, self.method)

    def capture(self, charged: Charged, now: datetime) -> None:
        """The order was PAID with this charge."""
        self._transition(Finding.CHARGED, now)
        self.reference = _storable_text(charged.reference)

    def record_late_charge(self, charged: Charged, now: datetime) -> None:
        """Send all of it back: the order cannot be paid any more."""
        self._transition(Finding.CHARGED_TOO_LATE, now)
        self.reference = _storable_text(charged.reference)
        self.reason = None
        self.add_refund(self.amount.minor, now)

    def decline(self, declined: Declined, now: datetime) -> None:
        """The gateway refused; raise `LedgerInconsistent` when it had charged before."""
        if self.status is not PaymentStatus.DECLINED:
            self._transition(Finding.DECLINED, now)
            self.reason = _storable_text(declined.reason)

    def record_unknown(self, now: datetime) -> None:
        """The gateway does not know of it: past the deadline it is abandoned, and watched for a day more."""
        if self.status is PaymentStatus.OPEN and now >= self.deadline:
            self._transition(Finding.UNKNOWN, now)
        if self.status is PaymentStatus.ABANDONED and now >= self.deadline + LATE_CHARGE_WINDOW:
            self.check_at = None
        else:
            self.schedule_check(now)

    def schedule_check(self, now: datetime) -> None:
        """Nothing was learned, so ask later; a settled attempt stays as it is."""
        if self.status in {PaymentStatus.OPEN, PaymentStatus.ABANDONED}:
            self.check_at = now + retry_delay(self.checks)
            if now < self.deadline:
                self.check_at = min(self.check_at, self.deadline)
            self.checks += 1

    def add_refund(self, minor: int, now: datetime) -> None:
        """Write money down to be sent back; together never more than was charged (`LedgerInconsistent`)."""
        if self.reference is None or not 1 <= minor <= self.amount.minor - self.refunded:
            raise LedgerInconsistent(f"Payment {self.id}: {minor} to send back, {self.refunded} of {self.amount} is.")
        # What was sent back before only grows, so the key is new, and the same in every replay of this.
        key = RefundId(uuid5(self.id, f"refund behind {self.refunded}"))
        self.refunds.append(
            PaymentRefund(key, self.id, self.reference, Money(minor, self.amount.currency), now, try_at=now)
        )
        self.refunded += minor
        self.updated_at = now

    def _transition(self, finding: Finding, now: datetime) -> None:
        try:
            self.status = PAYMENT_TRANSITIONS[self.status, finding]
        except KeyError:
            raise LedgerInconsistent(f"Payment {self.id} is {self.status}, and {finding}.") from None
        self.updated_at = now
        self.check_at = None


def _storable_text(text: str) -> str:
    """Words of a gateway, as a database takes them."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:MAX_TEXT] or "unknown"
