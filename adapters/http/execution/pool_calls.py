"""The calls that run in the threads of a pool, and since when, so that a stuck thread is found."""

import math
import time
from collections.abc import Callable
from typing import Final, TypeVar

from scalecommerce_core.ports import CommandDeadline, use_deadline

T = TypeVar("T")

READ_SECONDS: Final = 60.0
"""A call without a deadline is overdue after this time. PostgreSQL cancels a statement after 30 s, and a list or search
needs one or two that could take this long."""


class _Running:
    """`since`: when the call began or last made progress; `overdue_at`: when it is reported; in seconds of a clock."""

    __slots__ = ("overdue_at", "since")

    def __init__(self, since: float, overdue_at: float) -> None:
        self.since = since
        self.overdue_at = overdue_at


class PoolCalls:
    """Follows the calls of the pool `name`. For any thread."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is that of the event loop, in seconds."""
        self.name = name
        self._clock = clock
        self._running: set[_Running] = set()

    def follow(self, call: Callable[[], T], seconds: float) -> Callable[[], T]:
        """The call for a thread. It is overdue once it runs for longer than `seconds`."""

        def run() -> T:
            now = self._clock()
            return self._run(_Running(now, now + seconds), call)

        return run

    def follow_transactions(self, call: Callable[[], T], seconds: float) -> Callable[[], T]:
        """As `follow`, for a call of many transactions: it is overdue `seconds` after the last one began or
        committed.
        """

        def run() -> T:
            now = self._clock()
            running = _Running(now, now + seconds)
            with use_deadline(_Progress(running, seconds, self._clock)):
                return self._run(running, call)

        return run

    def overdue_since(self, now: float) -> float | None:
        """When the oldest overdue call began, or last made progress; None without one."""
        # Other threads change the set, so the loop needs a copy.
        return min((each.since for each in self._running.copy() if each.overdue_at <= now), default=None)

    def _run(self, running: _Running, call: Callable[[], T]) -> T:
        self._running.add(running)
        try:
            return call()
        finally:
            self._running.discard(running)


class _Progress(CommandDeadline):
    """No deadline: it records when a transaction begins and when its commit is sent."""

    def __init__(self, running: _Running, seconds: float, clock: Callable[[], float]) -> None:
        super().__init__(math.inf, clock)
        self._running = running
        self._seconds = seconds
        self._now = clock

    def check(self) -> None:
        self._record()
        super().check()

    def begin_commit(self) -> None:
        self._record()
        super().begin_commit()

    def _record(self) -> None:
        now = self._now()
        self._running.since, self._running.overdue_at = now, now + self._seconds
