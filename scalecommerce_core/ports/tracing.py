"""Distributed tracing of requests through their batch to the decision on their order."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from scalecommerce_core.domain.identifiers import OrderId
from scalecommerce_core.domain.order import Order

T = TypeVar("T")


class TracedRequest(Protocol):
    """A request of which spans are recorded."""


class OutgoingCall(Protocol):
    """A call to another server. `headers` carry the trace context, and may be empty."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    def end(self, status: int | None, error: str = "") -> None:
        """Record the status of the response, or the error without one."""
        ...


class Tracing(Protocol):
    """Records spans. No method waits or raises. Adapters call none while tracing is off: they have None instead."""

    def current_request(self) -> TracedRequest | None:
        """The request that this context handles, if its spans are recorded."""
        ...

    def bind(self, call: Callable[[], T]) -> Callable[[], T]:
        """The call for another thread: its spans are those of the request that this context handles."""
        ...

    def batch(self, name: str, commands: Sequence[tuple[object, TracedRequest | None]]) -> AbstractContextManager[None]:
        """Around the run of a batch of commands, each with its request."""
        ...

    def requests_of(self, orders: Collection[Order]) -> Mapping[OrderId, str]:
        """Called with the new orders of a batch: the trace contexts (W3C `traceparent`) to store for the decision."""
        ...

    def decision(self) -> AbstractContextManager[None]:
        """Around the decision on a batch of orders, or around their intake, which may decide them."""
        ...

    def orders_claimed(self, requests: Mapping[OrderId, str]) -> None:
        """Called inside `decision`: the trace contexts of the orders that are being decided."""
        ...

    def outgoing_call(self, name: str, host: str, port: int | None = None) -> AbstractContextManager[OutgoingCall]:
        """Around a call to another server; `name` has few different values."""
        ...
