"""Tests of payment gateways: requests with one key take effect once."""

import threading
from functools import partial
from typing import ClassVar
from uuid import UUID, uuid4

import pytest

from scalecommerce_core.domain.identifiers import OrderId, PaymentId, RefundId
from scalecommerce_core.domain.payment import DEFAULT_METHOD, Charged, ChargeRequest, Declined, RefundRequest
from scalecommerce_core.ports import PaymentGateway
from scalecommerce_core.testing.contracts.stage import usd
from scalecommerce_core.testing.contracts.transactions import run_in_threads


def charge_request(minor: int, method: str) -> ChargeRequest:
    return ChargeRequest(PaymentId(uuid4()), OrderId(7), usd(minor), method)


def refund_request(charge: ChargeRequest, reference: str, minor: int, key: UUID | None = None) -> RefundRequest:
    return RefundRequest(RefundId(key or uuid4()), charge.key, reference, usd(minor))


class PaymentGatewayContract:
    """Subclasses define the fixture `gateway` and the payment methods that it accepts and declines."""

    accepted: ClassVar[str] = DEFAULT_METHOD
    declined: ClassVar[str] = "sandbox-declined"

    def _charged(self, gateway: PaymentGateway, charge: ChargeRequest) -> str:
        answer = gateway.charge(charge)
        assert isinstance(answer, Charged)
        assert answer.reference
        return answer.reference

    def test_a_charge_is_found_by_its_key(self, gateway: PaymentGateway) -> None:
        charge = charge_request(5, self.accepted)
        assert gateway.find(charge.key) is None
        answer = gateway.charge(charge)
        assert isinstance(answer, Charged)
        assert gateway.find(charge.key) == answer
        assert gateway.find(charge_request(5, self.accepted).key) is None

    def test_a_refusal_is_found_by_its_key(self, gateway: PaymentGateway) -> None:
        charge = charge_request(5, self.declined)
        answer = gateway.charge(charge)
        assert isinstance(answer, Declined)
        assert answer.reason
        assert gateway.find(charge.key) == gateway.charge(charge) == answer

    def test_the_same_key_charges_once(self, gateway: PaymentGateway) -> None:
        charge = charge_request(100, self.accepted)
        reference = self._charged(gateway, charge)
        assert self._charged(gateway, charge) == reference
        gateway.refund(refund_request(charge, reference, 100))
        with pytest.raises(Exception, match="charge"):
            gateway.refund(refund_request(charge, reference, 1))

    def test_concurrent_requests_with_one_key_charge_once(self, gateway: PaymentGateway) -> None:
        for method in (self.accepted, self.declined):
            charge = charge_request(100, method)
            answers: list[Charged | Declined] = []
            start = threading.Barrier(6)

            def ask(charge: ChargeRequest, answers: list[Charged | Declined], start: threading.Barrier) -> None:
                start.wait(10)
                answers.append(gateway.charge(charge))

            run_in_threads(*[partial(ask, charge, answers, start)] * 6)
            assert answers == [gateway.find(charge.key)] * 6

    def test_a_refund_happens_once_per_key(self, gateway: PaymentGateway) -> None:
        charge, key = charge_request(100, self.accepted), uuid4()
        reference = self._charged(gateway, charge)
        run_in_threads(*[partial(gateway.refund, refund_request(charge, reference, 40, key))] * 6)
        gateway.refund(refund_request(charge, reference, 60))

    def test_refunds_cannot_exceed_the_charge(self, gateway: PaymentGateway) -> None:
        charge = charge_request(100, self.accepted)
        reference = self._charged(gateway, charge)
        gateway.refund(refund_request(charge, reference, 60))
        with pytest.raises(Exception, match="charge"):
            gateway.refund(refund_request(charge, reference, 41))
        gateway.refund(refund_request(charge, reference, 40))

    def test_a_declined_charge_cannot_be_refunded(self, gateway: PaymentGateway) -> None:
        refused, never = charge_request(5, self.declined), charge_request(5, self.accepted)
        gateway.charge(refused)
        for charge in (refused, never):
            with pytest.raises(Exception, match="charge"):
                gateway.refund(refund_request(charge, "anything", 1))
