"""A payment gateway in memory that is idempotent by key and whose failures tests control."""

import threading
from collections.abc import Callable
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.errors import GatewayUnavailable
from scalecommerce_core.domain.identifiers import PaymentId, RefundId
from scalecommerce_core.domain.payment import Charged, ChargeRequest, Declined, RefundRequest

DECLINED: Final = "sandbox-declined"
"""A payment method that is declined; all others are accepted. The sandbox gateway has the same methods."""
LOST_REPLY: Final = "sandbox-lost-reply"
"""A payment method whose charge succeeds while its reply is lost."""


@frozen
class RecordedCharge:
    """A request for a charge and the reply to it."""

    request: ChargeRequest
    answer: Charged | Declined


class MemoryGateway:
    """`ports.PaymentGateway`. While `is_down`, requests fail and have no effect.

    `before` and `after` are called around each charge, outside of the gateway's lock. Tests run other actions in them,
    or raise `GatewayUnavailable`; raised in `after`, the charge succeeds and its reply is lost.
    """

    def __init__(self) -> None:
        self.charges: dict[PaymentId, RecordedCharge] = {}
        self.refunds: dict[RefundId, RefundRequest] = {}
        self.is_down = False
        self.before: Callable[[ChargeRequest], None] = lambda _request: None
        self.after: Callable[[ChargeRequest], None] = lambda _request: None
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """The sum of all successful charges in minor units."""
        return sum(c.request.amount.minor for c in self.charges.values() if isinstance(c.answer, Charged))

    @property
    def sent_back(self) -> int:
        return sum(refund.amount.minor for refund in self.refunds.values())

    def charge(self, request: ChargeRequest) -> Charged | Declined:
        self._check()
        self.before(request)
        with self._lock:
            seen = self.charges.setdefault(request.key, RecordedCharge(request, _verdict(request)))
        self.after(request)
        if request.method == LOST_REPLY:
            raise GatewayUnavailable("The reply was lost.")
        return seen.answer

    def find(self, key: PaymentId) -> Charged | Declined | None:
        self._check()
        with self._lock:
            return seen.answer if (seen := self.charges.get(key)) is not None else None

    def refund(self, request: RefundRequest) -> None:
        self._check()
        with self._lock:
            charge = self.charges.get(request.payment)
            if charge is None or charge.answer != Charged(request.reference):
                raise ValueError(f"There is no charge {request.payment}.")
            before = sum(r.amount.minor for r in self.refunds.values() if r.payment == request.payment)
            if request.key not in self.refunds:
                if before + request.amount.minor > charge.request.amount.minor:
                    raise ValueError(
                        f"More than was charged: {before} and {request.amount} of charge {request.payment}."
                    )
                self.refunds[request.key] = request

    def _check(self) -> None:
        if self.is_down:
            raise GatewayUnavailable("The gateway is down.")


def _verdict(request: ChargeRequest) -> Charged | Declined:
    return Declined("card_declined") if request.method == DECLINED else Charged(f"charge-{request.key}")
