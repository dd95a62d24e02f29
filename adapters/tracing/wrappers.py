"""Ports whose calls are recorded."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import time_ns

from adapters.tracing.spans import OpenTelemetryTracing
from scalecommerce_core.domain.identifiers import PaymentId
from scalecommerce_core.domain.payment import Charged, ChargeRequest, Declined, RefundRequest
from scalecommerce_core.ports import PaymentGateway, Store, Transaction


class TracedStore:
    """Records each transaction, from its begin to its end."""

    def __init__(self, inner: Store, tracing: OpenTelemetryTracing) -> None:
        self._inner = inner
        self._tracing = tracing

    def begin(self) -> AbstractContextManager[Transaction]:
        return self._traced(self._inner.begin)

    def bulk(self) -> AbstractContextManager[Transaction]:
        return self._traced(self._inner.bulk)

    @contextmanager
    def _traced(self, begin: Callable[[], AbstractContextManager[Transaction]]) -> Iterator[Transaction]:
        begun = time_ns()
        try:
            with begin() as tx:
                yield tx
        except BaseException as error:
            self._tracing.transaction(begun, error)
            raise
        self._tracing.transaction(begun, None)


class TracedGateway:
    """Records each request. Its span is current meanwhile, so that the gateway can send its context."""

    def __init__(self, inner: PaymentGateway, tracing: OpenTelemetryTracing, name: str) -> None:
        self._inner = inner
        self._tracing = tracing
        self._name = name

    def charge(self, request: ChargeRequest) -> Charged | Declined:
        with self._tracing.outgoing_call("gateway charge", self._name):
            return self._inner.charge(request)

    def find(self, key: PaymentId) -> Charged | Declined | None:
        with self._tracing.outgoing_call("gateway find", self._name):
            return self._inner.find(key)

    def refund(self, request: RefundRequest) -> None:
        with self._tracing.outgoing_call("gateway refund", self._name):
            self._inner.refund(request)
