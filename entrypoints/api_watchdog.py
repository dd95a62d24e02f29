"""Ends an API process whose commands, threads or event loop are stuck, so that the server starts another one.

A thread that waits in a COMMIT on a connection that will never answer cannot be interrupted, and all further commands
of its kind wait behind it. A cause that a restart cannot remove (PostgreSQL is away, or its commits wait for a
synchronous standby) is logged only. The interval between repeated restarts doubles.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from typing import Final

from attrs import define, field

from adapters.http.execution.progress import LongestRunning
from entrypoints.watchdog import (
    CHECKS_PER_TIMEOUT,
    MAX_CHECK_INTERVAL,
    MAX_DOUBLINGS,
    STALL_EXIT_STATUS,
    RestartCounter,
)
from scalecommerce_core.domain.errors import Unavailable

logger = logging.getLogger(__name__)

CAUSE_SECONDS: Final = 10.0
"""Time for finding out whether PostgreSQL answers."""
SUSPENDED_INTERVALS: Final = 3
"""A check that is later than this many intervals follows a suspension of the process, which does not count."""


@define
class ApiWatchdog:
    """Checks the process periodically in a thread.

    `timeout` is in seconds. `call_in_loop` runs a function in the event loop, from any thread. `find_outer_cause`
    returns why commands do not end although this process works, or an empty text; it may raise `Unavailable`.
    `clock` is that of the event loop, in seconds.
    """

    timeout: float
    _longest_running: Callable[[], LongestRunning | None]
    _call_in_loop: Callable[[Callable[[], None]], object]
    _find_outer_cause: Callable[[], str]
    _counter: RestartCounter
    _end_process: Callable[[], None] = lambda: os._exit(STALL_EXIT_STATUS)
    _clock: Callable[[], float] = time.monotonic
    _restarts: int | None = field(default=None, init=False)
    _checked_at: float = field(init=False)
    _healthy_since: float = field(init=False)
    _loop_ran_at: float = field(init=False)
    _reported: bool = field(default=False, init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._reset(self._clock())

    @property
    def interval(self) -> float:
        """Seconds between two checks."""
        return min(self.timeout / CHECKS_PER_TIMEOUT, MAX_CHECK_INTERVAL)

    def start(self) -> None:
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Check no more. A process that shuts down is not ended."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self.interval):
            try:
                self.check()
            except Exception:
                # The thread must survive every error.
                logger.exception("a check of the watchdog failed")

    def check(self) -> None:
        """Check once."""
        now, before = self._clock(), self._checked_at
        self._checked_at = now
        if now - before > SUSPENDED_INTERVALS * self.interval + CAUSE_SECONDS:
            self._reset(now)
            return
        self._call_in_loop(self._record_loop)
        if self._restarts is None:
            # Without the counter, the process may end once more than it should.
            with suppress(Unavailable):
                self._restarts = self._counter.get()
        limit = self.timeout * 2 ** min(self._restarts or 0, MAX_DOUBLINGS)
        longest, loop_age = self._longest_running(), now - self._loop_ran_at
        if loop_age >= limit:
            self._restart(f"the event loop has not run for {loop_age:.0f} s")
        elif longest is None or longest.seconds < self.timeout:
            self._reported = False
            self._forget_restarts(now, limit)
        else:
            self._healthy_since = now
            if cause := self._outer_cause():
                if not self._reported:
                    logger.error("%s; a restart of this process would not help: %s", longest, cause)
                self._reported = True
            elif longest.seconds >= limit:
                self._restart(str(longest))

    def _reset(self, now: float) -> None:
        self._checked_at = self._healthy_since = self._loop_ran_at = now

    def _record_loop(self) -> None:
        self._loop_ran_at = self._clock()

    def _forget_restarts(self, now: float, limit: float) -> None:
        """Reset the counter after `limit` seconds without anything stuck."""
        if self._restarts and now - self._healthy_since >= limit:
            with suppress(Unavailable):
                self._counter.reset()
                self._restarts = 0

    def _restart(self, what: str) -> None:
        logger.critical("%s: this process ends itself to be restarted", what)
        with suppress(Unavailable):
            self._counter.increment()
        if not self._stopped.is_set():
            self._end_process()

    def _outer_cause(self) -> str:
        """`find_outer_cause` in a thread, since a connection may accept a statement and never answer."""
        found: Queue[str] = Queue()

        def find() -> None:
            try:
                found.put(self._find_outer_cause())
            except Unavailable as error:
                found.put(str(error))

        threading.Thread(target=find, name="watchdog cause", daemon=True).start()
        try:
            return found.get(timeout=CAUSE_SECONDS)
        except Empty:
            return f"PostgreSQL does not answer on a new connection within {CAUSE_SECONDS:g} s"
