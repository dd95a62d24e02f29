"""Payment attempts: transitions, look-ups and refunds."""

import itertools
from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve

from scalecommerce_core.domain.errors import Invalid, LedgerInconsistent, NothingToRetry, Refused
from scalecommerce_core.domain.identifiers import OrderId, PaymentId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.payment import (
    LATE_CHARGE_WINDOW,
    LONGEST_PAUSE,
    MAX_AMOUNT,
    PAYMENT_TRANSITIONS,
    Charged,
    Declined,
    Finding,
    Payment,
    PaymentStatus,
    RefundStatus,
    retry_delay,
)
from scalecommerce_core.testing.contracts.stage import NOW, SECOND, usd

FIFTY = usd(50_00)
LASTING = timedelta(seconds=60)


def opened(amount: Money = FIFTY, method: str = "card") -> Payment:
    return Payment.opened(
        id=PaymentId(UUID(int=1)), order_id=OrderId(1), amount=amount, method=method, now=NOW, timeout=LASTING
    )


def brought_to(status: PaymentStatus) -> Payment:
    payment = opened()
    match status:
        case PaymentStatus.CAPTURED:
            payment.capture(Charged("c"), NOW)
        case PaymentStatus.DECLINED:
            payment.decline(Declined("no"), NOW)
        case PaymentStatus.ABANDONED:
            payment.record_unknown(payment.deadline)
        case PaymentStatus.TOO_LATE:
            payment.record_late_charge(Charged("c"), NOW)
        case PaymentStatus.OPEN:
            pass
    assert payment.status is status
    return payment


def learn(payment: Payment, finding: Finding) -> None:
    match finding:
        case Finding.CHARGED:
            payment.capture(Charged("c"), payment.deadline)
        case Finding.CHARGED_TOO_LATE:
            payment.record_late_charge(Charged("c"), payment.deadline)
        case Finding.DECLINED:
            payment.decline(Declined("no"), payment.deadline)
        case Finding.UNKNOWN:
            payment.record_unknown(payment.deadline)


HARMLESS = {
    # A decline may be recorded twice, and a settled attempt may be unknown to the gateway.
    (PaymentStatus.DECLINED, Finding.DECLINED),
    *((status, Finding.UNKNOWN) for status in PaymentStatus),
}


@pytest.mark.parametrize("status", list(PaymentStatus))
@pytest.mark.parametrize("finding", list(Finding))
def test_payments_follow_the_table_of_transitions(status: PaymentStatus, finding: Finding) -> None:
    payment = brought_to(status)
    if (status, finding) in PAYMENT_TRANSITIONS:
        learn(payment, finding)
        assert payment.status is PAYMENT_TRANSITIONS[status, finding]
    elif (status, finding) in HARMLESS:
        learn(payment, finding)
        assert payment.status is status
    else:
        with pytest.raises(LedgerInconsistent):
            learn(payment, finding)
        assert payment.status is status


@pytest.mark.parametrize("method", ["", "x" * 256, "a\nb", "na\0ught", "ключ"])
def test_a_method_is_a_short_printable_token(method: str) -> None:
    with pytest.raises(Invalid, match="payment_method"):
        opened(method=method)


@pytest.mark.parametrize("minor", [0, MAX_AMOUNT + 1])
def test_an_amount_beyond_the_column_is_refused(minor: int) -> None:
    with pytest.raises(Refused):
        opened(usd(minor))
    assert opened(usd(MAX_AMOUNT)).amount.minor == MAX_AMOUNT


def test_pauses_double_up_to_an_hour() -> None:
    assert [retry_delay(tries).total_seconds() for tries in range(4)] == [2, 4, 8, 16]
    assert retry_delay(11) == retry_delay(10_000) == LONGEST_PAUSE


def test_an_attempt_is_not_abandoned_before_its_deadline() -> None:
    payment = opened()
    payment.record_unknown(NOW + 59 * SECOND)
    assert (payment.status, payment.check_at) == (PaymentStatus.OPEN, payment.deadline)
    payment.record_unknown(payment.deadline)
    assert (payment.status, payment.checks) == (PaymentStatus.ABANDONED, 2)


def test_an_abandoned_attempt_is_looked_up_for_a_day_at_growing_intervals() -> None:
    payment = brought_to(PaymentStatus.ABANDONED)
    looks = [payment.deadline]
    while payment.check_at is not None:
        looks.append(payment.check_at)
        payment.record_unknown(payment.check_at)
    pauses = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert pauses == sorted(pauses)
    assert payment.deadline + LATE_CHARGE_WINDOW <= looks[-1] <= payment.deadline + LATE_CHARGE_WINDOW + LONGEST_PAUSE
    assert payment.status is PaymentStatus.ABANDONED


def test_a_silent_gateway_never_settles_anything() -> None:
    payment = opened()
    for _ in range(100):
        assert payment.check_at is not None
        payment.schedule_check(payment.check_at)
    assert payment.status is PaymentStatus.OPEN


@pytest.mark.parametrize("status", [PaymentStatus.CAPTURED, PaymentStatus.DECLINED, PaymentStatus.TOO_LATE])
def test_a_settled_attempt_is_not_looked_up(status: PaymentStatus) -> None:
    payment = brought_to(status)
    payment.schedule_check(NOW)
    assert payment.check_at is None


def test_refunds_cannot_exceed_the_charge() -> None:
    payment = brought_to(PaymentStatus.CAPTURED)
    payment.add_refund(20_00, NOW)
    payment.add_refund(20_00, NOW)
    for minor in (10_01, 0, -1):
        with pytest.raises(LedgerInconsistent):
            payment.add_refund(minor, NOW)
    payment.add_refund(10_00, NOW)
    assert payment.refunded == payment.amount.minor == sum(refund.amount.minor for refund in payment.refunds)
    assert len({refund.id for refund in payment.refunds}) == 3


@pytest.mark.parametrize("status", [PaymentStatus.OPEN, PaymentStatus.DECLINED, PaymentStatus.ABANDONED])
def test_an_uncharged_payment_cannot_be_refunded(status: PaymentStatus) -> None:
    with pytest.raises(LedgerInconsistent):
        brought_to(status).add_refund(1, NOW)


def test_refund_keys_are_the_same_in_every_retry() -> None:
    first, second = brought_to(PaymentStatus.TOO_LATE), brought_to(PaymentStatus.TOO_LATE)
    assert [refund.id for refund in first.refunds] == [refund.id for refund in second.refunds]


def test_a_refund_is_tried_again_until_it_is_confirmed() -> None:
    (refund,) = brought_to(PaymentStatus.TOO_LATE).refunds
    refund.postpone(NOW, "no answer")
    assert refund.try_at == NOW + 2 * SECOND
    refund.postpone(refund.try_at, "insufficient balance")
    assert refund.try_at == NOW + 6 * SECOND
    assert refund.trouble == "insufficient balance"
    refund.confirm(NOW + 6 * SECOND)
    refund.confirm(NOW + 9 * SECOND)
    confirmed = evolve(refund)
    assert (confirmed.status, confirmed.done_at, confirmed.trouble) == (RefundStatus.DONE, NOW + 6 * SECOND, None)


def test_a_refund_can_be_sent_at_once_until_it_is_confirmed() -> None:
    (refund,) = brought_to(PaymentStatus.TOO_LATE).refunds
    for _ in range(9):
        refund.postpone(refund.try_at, "no answer")
    refund.send_now(NOW + 9 * SECOND)
    assert (refund.try_at, refund.tries, refund.trouble) == (NOW + 9 * SECOND, 9, "no answer")
    refund.send_now(NOW + 99 * SECOND)
    assert refund.try_at == NOW + 9 * SECOND
    refund.confirm(NOW)
    with pytest.raises(NothingToRetry, match="DONE"):
        refund.send_now(NOW)


def test_an_attempt_without_result_can_be_looked_up_at_once() -> None:
    payment = opened()
    with pytest.raises(NothingToRetry, match="is being charged"):
        payment.check_now(NOW)
    payment.check_at = payment.deadline
    for _ in range(9):
        payment.schedule_check(payment.check_at, "no answer")
    assert payment.check_at > payment.deadline + 9 * SECOND
    payment.check_now(payment.deadline + 9 * SECOND)
    assert (payment.check_at, payment.trouble) == (payment.deadline + 9 * SECOND, "no answer")
    payment.decline(Declined("no"), payment.deadline)
    assert payment.trouble is None
    with pytest.raises(NothingToRetry, match="DECLINED"):
        payment.check_now(payment.deadline)


def test_texts_of_a_gateway_are_made_storable() -> None:
    payment = opened()
    payment.decline(Declined("no\0 \udcff" + "x" * 300), NOW)
    assert payment.reason is not None
    assert payment.reason.startswith("no ?x")
    assert len(payment.reason) == 255
    silent = opened()
    silent.decline(Declined(""), NOW)
    assert silent.reason == "unknown"
