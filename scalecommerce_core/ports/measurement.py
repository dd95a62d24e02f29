"""Figures about the work of the services, for operators."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, Protocol

from scalecommerce_core.domain.order import RejectionReason
from scalecommerce_core.pricing.guardrails import Guardrail
from scalecommerce_core.pricing.runs import RunStatus


class Measurements(Protocol):
    """Takes figures of work that was committed. Calls never raise and never block; a figure may be lost."""

    def orders_received(self, answers: Mapping[str, int], duration: timedelta) -> None:
        """One batch of the intake: orders by answer, which is `accepted`, `replayed` (an idempotency key was used
        again), `order_backlog_full`, `unavailable` for each other `Unavailable`, or the code of the refusal.
        """
        ...

    def orders_decided(self, reserved: Sequence[timedelta], rejected: Sequence[timedelta]) -> None:
        """One batch of decisions: the time from each order to its decision."""
        ...

    def orders_rejected(self, reasons: Mapping[RejectionReason, int]) -> None:
        """Rejected orders of a batch by reason; an order with several reasons counts for each."""
        ...

    def order_deferred(self) -> None:
        """The decision on an order failed and is repeated later."""
        ...

    def prices_decided(self, decisions: int, guardrails: Mapping[Guardrail, int]) -> None:
        """One range of a pricing run: decisions, and those in which each guardrail acted."""
        ...

    def run_ended(self, status: RunStatus) -> None:
        """A pricing run ended."""
        ...


class NoMeasurements:
    """Ignores all figures."""

    def orders_received(self, answers: Mapping[str, int], duration: timedelta) -> None:
        pass

    def orders_decided(self, reserved: Sequence[timedelta], rejected: Sequence[timedelta]) -> None:
        pass

    def orders_rejected(self, reasons: Mapping[RejectionReason, int]) -> None:
        pass

    def order_deferred(self) -> None:
        pass

    def prices_decided(self, decisions: int, guardrails: Mapping[Guardrail, int]) -> None:
        pass

    def run_ended(self, status: RunStatus) -> None:
        pass


NO_MEASUREMENTS: Final = NoMeasurements()
