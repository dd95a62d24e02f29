"""Deadline and memory of request bodies while they are received.

A client may announce a body and send it slowly or not at all, so the time of each body and the bytes of all together
are limited. Beyond the limit of bytes, the bodies that have been incomplete for longest are given up: those of slow
clients, not those of newcomers.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from attrs import frozen
from starlette.types import Message, Receive

from adapters.http.framework.problems import request_timeout
from scalecommerce_core.domain.errors import Overloaded

CHECK_SECONDS: Final = 1.0


@frozen
class BodyLimits:
    """`seconds` is the time for one body, `total_bytes` the limit of all bodies in memory; 0 switches a limit off."""

    seconds: float = 30.0
    total_bytes: int = 64 * 1024 * 1024


class BodyReception:
    """The bodies that one process is receiving or processing; for one event loop."""

    def __init__(self, limits: BodyLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        # In the order in which their reception began, which is the order of their deadlines.
        self._incomplete: dict[IncomingBody, None] = {}
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes of all bodies whose requests are not finished."""
        return self._bytes

    def begin(self, body: "IncomingBody") -> None:
        """Register a body that the current task is about to receive."""
        body.begun = self._clock()
        self._incomplete[body] = None
        if self._timer is None and self._limits.seconds:
            self._timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)

    def expire(self) -> None:
        """Give up all bodies whose deadline has passed."""
        latest = self._clock() - self._limits.seconds
        for body in list(self._incomplete):
            if body.begun > latest:
                break
            self._give_up(body, request_timeout(self._limits.seconds))

    def complete(self, body: "IncomingBody") -> None:
        """The body is received; its bytes count until `release`."""
        self._incomplete.pop(body, None)

    def release(self, body: "IncomingBody") -> None:
        """The request is finished."""
        self._incomplete.pop(body, None)
        self._bytes -= body.size
        body.size = 0

    def add(self, body: "IncomingBody", size: int) -> None:
        """Count `size` more bytes; raise `Overloaded` if there are too many and no older body can be given up."""
        body.size += size
        self._bytes += size
        if 0 < self._limits.total_bytes < self._bytes:
            self._make_room(body)

    def _make_room(self, needed_by: "IncomingBody") -> None:
        excess = self._bytes - self._limits.total_bytes
        for body in list(self._incomplete):
            if excess <= 0:
                return
            if body is not needed_by and body.size:
                excess -= body.size
                self._give_up(body, _overloaded())
        if excess > 0:
            raise _overloaded()

    def _give_up(self, body: "IncomingBody", reason: Exception) -> None:
        del self._incomplete[body]
        # Its memory is free as soon as its task runs.
        self._bytes -= body.size
        body.size = 0
        body.give_up(reason)

    def _check(self) -> None:
        self.expire()
        self._timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check) if self._incomplete else None


def _overloaded() -> Overloaded:
    return Overloaded("The server receives too many large bodies: retry the request in a few seconds.")


class IncomingBody:
    """The `receive` of one request, with a deadline for its body.

    `begun` is the time of the first call, `size` the number of bytes that count towards the limit of all bodies.
    """

    __slots__ = ("_is_complete", "_reason", "_receive", "_reception", "_task", "begun", "size")

    def __init__(self, reception: BodyReception, receive: Receive) -> None:
        self._reception = reception
        self._receive = receive
        self._task: asyncio.Task[object] | None = None
        self._reason: Exception | None = None
        self._is_complete = False
        self.begun = 0.0
        self.size = 0

    async def __call__(self) -> Message:
        """Receive the next message; raise a 408 `Problem` or `Overloaded`.

        The exceptions are raised in the code that reads the body, and handled by the middleware.
        """
        if self._is_complete:
            return await self._receive()
        if self._task is None:
            self._task = asyncio.current_task()
            self._reception.begin(self)
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            reason, self._reason = self._reason, None
            if reason is None or self._task is None or self._task.uncancel() > 0:
                raise
            try:
                raise reason from None
            finally:
                # The traceback refers to this frame. If the frame referred to the exception, only the garbage collector
                # would free the request, and until then the server keeps its connection open.
                del reason
        if message["type"] == "http.request":
            if body := message.get("body", b""):
                self._reception.add(self, len(body))
            if message.get("more_body", False):
                return message
        self._is_complete = True
        self._reception.complete(self)
        return message

    def give_up(self, reason: Exception) -> None:
        """Let the pending call raise `reason`."""
        self._reason = reason
        if self._task is not None:
            self._task.cancel()

    def release(self) -> None:
        """The request is finished, and the memory of its body is free."""
        if self._task is not None:
            self._reception.release(self)
