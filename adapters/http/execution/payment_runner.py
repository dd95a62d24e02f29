"""Runs payments: database work in batches, gateway requests in threads.

A started charge is completed and recorded even if its request is cancelled.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from adapters.http.execution.batcher import Batcher
from adapters.http.execution.time_limit import TimeLimit
from scalecommerce_core.domain.errors import DeadlineExceeded, GatewayUnavailable, MarketError, Overloaded
from scalecommerce_core.domain.order import Order
from scalecommerce_core.domain.payment import Payment
from scalecommerce_core.ports import Tracing
from scalecommerce_core.services.payments import PaymentResult, Payments, PayOrder

logger = logging.getLogger(__name__)

CHARGE_THREADS: Final = 32
"""Concurrent gateway requests per process."""
MAX_PAYMENTS: Final = 256
"""Payments in progress per process. Further ones get 503 before anything is written."""


class PaymentRunner:
    def __init__(
        self,
        payments: Payments,
        *,
        threads: int = CHARGE_THREADS,
        max_payments: int = MAX_PAYMENTS,
        time_limit: TimeLimit | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`time_limit` is that of opening a payment, and separately of recording its result; the gateway's adapter has
        a time limit of its own.
        """
        self._payments = payments
        self._tracing = tracing
        self._max_payments = max_payments
        self._open: Batcher[PayOrder, Payment | Order] = Batcher(
            payments.open, name="open-payment", time_limit=time_limit, tracing=tracing
        )
        self._record: Batcher[PaymentResult, Order] = Batcher(
            payments.record,
            name="record-payment",
            time_limit=time_limit and TimeLimit(time_limit.seconds, per_request=False),
            tracing=tracing,
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="charger")
        self._running: set[asyncio.Task[Order]] = set()
        self._closed = False

    @property
    def batchers(self) -> Sequence[Batcher[Any, Any]]:
        return self._open, self._record

    async def pay(self, command: PayOrder) -> Order:
        """Return the order, PAID; raise `Overloaded` at once if `max_payments` payments are in progress."""
        if self._closed or len(self._running) >= self._max_payments:
            raise Overloaded("The server has more payments in progress than it can take: try again in a moment.")
        task = asyncio.get_running_loop().create_task(self._run(command))
        self._running.add(task)
        task.add_done_callback(self._on_done)
        # A cancelled request must not cancel the payment.
        return await asyncio.shield(task)

    async def _run(self, command: PayOrder) -> Order:
        opened = await self._open.submit(command)
        if isinstance(opened, Order):
            return opened
        charge: Callable[[], PaymentResult] = partial(self._payments.charge, opened)
        if self._tracing is not None:
            charge = self._tracing.bind(charge)
        result = await asyncio.get_running_loop().run_in_executor(self._threads, charge)
        try:
            return await self._record.submit(result)
        except DeadlineExceeded as error:
            # `Payments.reconcile` asks the gateway for the result again and records it.
            raise GatewayUnavailable(
                "The payment was sent, but its result could not be stored in time: read the order later for the result."
            ) from error

    def _on_done(self, task: "asyncio.Task[Order]") -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        # The request that would report this error may have been cancelled.
        if error is not None and not isinstance(error, MarketError):
            logger.error("a payment failed", exc_info=error)

    async def close(self) -> None:
        """Reject further payments, complete those in progress, and end the threads."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running)
        await asyncio.gather(self._open.drain(), self._record.drain())
        self._threads.shutdown(wait=False)
