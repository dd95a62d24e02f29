"""Payments: an aggregate per attempt to charge for an order, and the refunds of its money.

An attempt is stored before the gateway is called and settled after its answer. If the answer is lost, the charge is
looked up at the gateway by the attempt's key until the outcome is known.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import uuid5

from attrs import define, field, frozen, setters

from scalecommerce_core.domain.errors import Invalid, LedgerInconsistent, NothingToRetry, Refused
from scalecommerce_core.domain.identifiers import OrderId, PaymentId, RefundId
from scalecommerce_core.domain.money import Money

AMOUNT_DIGITS: Final = 21
"""Digits of minor units of the largest order: 100 lines of 900,000,000 units at 99,999,999.99."""
MAX_AMOUNT: Final = 10**AMOUNT_DIGITS - 1
"""Largest amount of a payment, in minor units."""
MAX_TEXT: Final = 255
"""Longest method, reference and reason, in characters."""
DEFAULT_METHOD: Final = "default"
"""The buyer's default payment method, which is stored at the gateway."""

FIRST_PAUSE: Final = timedelta(seconds=2)
"""Delay after the first look-up or refund without a result."""
LONGEST_PAUSE: Final = timedelta(hours=1)
"""Longest delay between two look-ups or refunds."""
LATE_CHARGE_WINDOW: Final = timedelta(hours=24)
"""An attempt without a charge at the gateway is still looked up this long after its deadline: its charge may arrive
late."""


def retry_delay(tries: int) -> timedelta:
    """Delay before the next look-up or refund: 2 s, doubled with each of the earlier `tries`, at most an hour."""
    return min(FIRST_PAUSE * (1 << min(tries, 20)), LONGEST_PAUSE)


# --- what is said to gateways, and what they answer


@frozen
class ChargeRequest:
    """Charge `amount` by `method`, at most once per `key`."""

    key: PaymentId
    order_id: OrderId
    amount: Money
    method: str


@frozen
class RefundRequest:
    """Refund `amount` of the charge `payment`, at most once per `key`; `reference` is the gateway's charge id."""

    key: RefundId
    payment: PaymentId
    reference: str
    amount: Money


@frozen
class Charged:
    """The money was charged; `reference` is the gateway's id of the charge, at most `MAX_TEXT` characters."""

    reference: str


@frozen
class Declined:
    """No money was charged, and none will be under this key; `reason` is a code such as `insufficient_funds`."""

    reason: str


# --- one attempt


class PaymentStatus(StrEnum):
    """Status of an attempt; `PAYMENT_TRANSITIONS` lists the allowed changes."""

    OPEN = "OPEN"
    """The gateway is being called, or its answer was lost. The order cannot be cancelled, paid again or expire."""
    CAPTURED = "CAPTURED"
    """Charged, and the order became PAID."""
    DECLINED = "DECLINED"
    ABANDONED = "ABANDONED"
    """Past its deadline and unknown to the gateway: the order can be paid or cancelled again. The charge is still
    looked up."""
    TOO_LATE = "TOO_LATE"
    """Charged when the order could not be paid any more: all of the money is refunded."""


class Finding(StrEnum):
    """The outcome of an attempt, as reported by the gateway."""

    CHARGED = "charged"
    CHARGED_TOO_LATE = "charged too late"
    DECLINED = "declined"
    UNKNOWN = "unknown to the gateway, past the deadline"


PAYMENT_TRANSITIONS: Final[Mapping[tuple[PaymentStatus, Finding], PaymentStatus]] = {
    (PaymentStatus.OPEN, Finding.CHARGED): PaymentStatus.CAPTURED,
    (PaymentStatus.OPEN, Finding.CHARGED_TOO_LATE): PaymentStatus.TOO_LATE,
    (PaymentStatus.OPEN, Finding.DECLINED): PaymentStatus.DECLINED,
    (PaymentStatus.OPEN, Finding.UNKNOWN): PaymentStatus.ABANDONED,
    # A late charge still pays an order that is PENDING.
    (PaymentStatus.ABANDONED, Finding.CHARGED): PaymentStatus.CAPTURED,
    (PaymentStatus.ABANDONED, Finding.CHARGED_TOO_LATE): PaymentStatus.TOO_LATE,
    (PaymentStatus.ABANDONED, Finding.DECLINED): PaymentStatus.DECLINED,
    # A gateway should not charge after it declined; if it does, it has the buyer's money, which must be refunded.
    (PaymentStatus.DECLINED, Finding.CHARGED_TOO_LATE): PaymentStatus.TOO_LATE,
}
"""The new status of an attempt for each finding; any other pair is `LedgerInconsistent`."""


class RefundStatus(StrEnum):
    """Status of a refund."""

    OPEN = "OPEN"
    DONE = "DONE"


@define
class PaymentRefund:
    """Money to be refunded; it is sent with the same key until the gateway confirms it."""

    id: RefundId = field(on_setattr=setters.frozen)
    payment_id: PaymentId = field(on_setattr=setters.frozen)
    reference: str = field(on_setattr=setters.frozen)
    amount: Money = field(on_setattr=setters.frozen)
    created_at: datetime = field(on_setattr=setters.frozen)
    try_at: datetime
    status: RefundStatus = RefundStatus.OPEN
    tries: int = 0
    done_at: datetime | None = None
    trouble: str | None = None
    """Why the gateway did not confirm the last try; None before the first failure and after the confirmation."""

    def request(self) -> RefundRequest:
        """The request for the gateway."""
        return RefundRequest(self.id, self.payment_id, self.reference, self.amount)

    def confirm(self, now: datetime) -> None:
        """Record the gateway's confirmation; repeating it changes nothing."""
        if self.status is RefundStatus.OPEN:
            self.status, self.done_at, self.trouble = RefundStatus.DONE, now, None

    def postpone(self, now: datetime, trouble: str) -> None:
        """Schedule the next try, because the gateway did not confirm the refund; `trouble` says why."""
        self.try_at = now + retry_delay(self.tries)
        self.tries += 1
        self.trouble = trouble

    def send_now(self, now: datetime) -> None:
        """Make the next try due; raise `NothingToRetry` if the gateway has confirmed the refund."""
        if self.status is not RefundStatus.OPEN:
            raise NothingToRetry(f"Refund {self.id} is {self.status}: the gateway has confirmed it.")
        self.try_at = min(self.try_at, now)


@define
class Payment:
    """One attempt to charge for an order. Only the methods below change `status`, along `PAYMENT_TRANSITIONS`."""

    id: PaymentId = field(on_setattr=setters.frozen)
    order_id: OrderId = field(on_setattr=setters.frozen)
    amount: Money = field(on_setattr=setters.frozen)
    method: str = field(on_setattr=setters.frozen)
    created_at: datetime = field(on_setattr=setters.frozen)
    deadline: datetime = field(on_setattr=setters.frozen)
    """The charge is not sent after this time; if the gateway has no charge then, the attempt is abandoned."""
    updated_at: datetime
    check_at: datetime | None
    """When the charge is looked up at the gateway; None if the attempt is settled."""
    status: PaymentStatus = PaymentStatus.OPEN
    checks: int = 0
    reference: str | None = None
    reason: str | None = None
    refunded: int = 0
    """Minor units that were refunded or are to be refunded."""
    trouble: str | None = None
    """Why the outcome is unknown: what the last look-up without a result said. None once the attempt is settled."""
    refunds: list[PaymentRefund] = field(factory=list, eq=False, repr=False)
    """Refunds made since the payment was loaded; saving appends them."""

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
        """A new attempt. Raise `Invalid` for an invalid method, `Refused` for an amount that no gateway accepts."""
        if not 1 <= len(method) <= MAX_TEXT or not method.isprintable() or not method.isascii():
            raise Invalid.field("payment_method", f"1 to {MAX_TEXT} printable ASCII characters are required.")
        if not 1 <= amount.minor <= MAX_AMOUNT:
            raise Refused(f"{amount} cannot be paid in one payment.")
        deadline = now + timeout
        return cls(
            id=id, order_id=order_id, amount=amount, method=method, created_at=now, deadline=deadline, updated_at=now,
            check_at=deadline,
        )  # fmt: skip

    @property
    def is_charged(self) -> bool:
        """Whether the money was charged."""
        return self.status in {PaymentStatus.CAPTURED, PaymentStatus.TOO_LATE}

    def request(self) -> ChargeRequest:
        """The request for the gateway."""
        return ChargeRequest(self.id, self.order_id, self.amount, self.method)

    def capture(self, charged: Charged, now: datetime) -> None:
        """Record the charge that paid the order."""
        self._transition(Finding.CHARGED, now)
        self.reference = _storable_text(charged.reference)

    def record_late_charge(self, charged: Charged, now: datetime) -> None:
        """Record a charge of an order that cannot be paid any more, and refund all of it."""
        self._transition(Finding.CHARGED_TOO_LATE, now)
        self.reference = _storable_text(charged.reference)
        self.reason = None
        self.add_refund(self.amount.minor, now)

    def decline(self, declined: Declined, now: datetime) -> None:
        """Record that the gateway declined; raise `LedgerInconsistent` if it had charged before."""
        if self.status is not PaymentStatus.DECLINED:
            self._transition(Finding.DECLINED, now)
            self.reason = _storable_text(declined.reason)

    def record_unknown(self, now: datetime) -> None:
        """Record that the gateway has no such charge: past the deadline the attempt is abandoned.

        An abandoned attempt is looked up for `LATE_CHARGE_WINDOW` more.
        """
        if self.status is PaymentStatus.OPEN and now >= self.deadline:
            self._transition(Finding.UNKNOWN, now)
        if self.status is PaymentStatus.ABANDONED and now >= self.deadline + LATE_CHARGE_WINDOW:
            self.check_at = None
        else:
            self.schedule_check(now)

    def schedule_check(self, now: datetime, trouble: str | None = None) -> None:
        """Schedule the next look-up of an unsettled attempt; a settled attempt stays as it is.

        `trouble` says why the last look-up had no result.
        """
        if self.status in {PaymentStatus.OPEN, PaymentStatus.ABANDONED}:
            self.trouble = trouble
            self.check_at = now + retry_delay(self.checks)
            if now < self.deadline:
                self.check_at = min(self.check_at, self.deadline)
            self.checks += 1

    def check_now(self, now: datetime) -> None:
        """Make the next look-up due; raise `NothingToRetry` before the deadline, when the charge may still be sent,
        and if the outcome is known.
        """
        if self.check_at is None or now < self.deadline:
            state = "is being charged" if self.status is PaymentStatus.OPEN else f"is {self.status}"
            raise NothingToRetry(f"Payment {self.id} {state}: there is nothing to look up at the gateway.")
        self.check_at = min(self.check_at, now)

    def add_refund(self, minor: int, now: datetime) -> None:
        """Add a refund of `minor` units; raise `LedgerInconsistent` if the refunds would exceed the charge."""
        if self.reference is None or not 1 <= minor <= self.amount.minor - self.refunded:
            raise LedgerInconsistent(
                f"Payment {self.id}: a refund of {minor} exceeds {self.amount} less {self.refunded}."
            )
        # `refunded` only grows, so the key is new, and a retry of this transaction computes the same key.
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
            raise LedgerInconsistent(f"Payment {self.id} is {self.status}, the gateway reported: {finding}.") from None
        self.updated_at = now
        self.check_at = None
        self.trouble = None


def _storable_text(text: str) -> str:
    """A text of the gateway in a form that a database stores."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:MAX_TEXT] or "unknown"
