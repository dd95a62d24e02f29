"""Ends a worker that runs but decides no orders, so that its supervisor restarts it.

The measure is the age of the oldest undecided order: a process that exists, is connected and answers pings may
nevertheless have stopped consuming. A cause that a restart cannot remove (a server is away, another session holds the
lock) is logged only. The interval between repeated restarts doubles.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field, frozen

from adapters.db.validation_backlog import Backlog
from scalecommerce_core.domain.errors import Unavailable

logger = logging.getLogger(__name__)

CHECKS_PER_TIMEOUT: Final = 6
"""Checks within the timeout, at least."""
MAX_CHECK_INTERVAL: Final = 5.0
MAX_DOUBLINGS: Final = 6
STALL_EXIT_STATUS: Final = 75
"""Exit status of an API process or worker that its watchdog has ended (EX_TEMPFAIL: its supervisor restarts it)."""


class RestartCounter(Protocol):
    """The number of restarts in a row, stored outside of the process; the methods raise `Unavailable`."""

    def get(self) -> int: ...

    def increment(self) -> None: ...

    def reset(self) -> None: ...


@frozen
class WorkerState:
    """The backlog at one moment, and the number of decide tasks that this worker has started so far."""

    backlog: Backlog
    tasks_started: int


@frozen
class Diagnosis:
    """`cause` describes the stall (None: there is none); `restart`: a restart of this worker may end it."""

    cause: str | None = None
    restart: bool = False


@define
class StallDetector:
    """Detects a stall from consecutive worker states.

    `timeout` is in seconds. `session` is the `application_name` of this worker's PostgreSQL sessions.
    """

    timeout: float
    session: str
    _oldest_order: int | None = None
    _oldest_since: float = 0.0
    _tasks_started: int = 0
    _last_start_at: float = 0.0

    def reset(self) -> None:
        """Start measuring again, because a server did not answer and orders could not be decided without it."""
        self._oldest_order = None

    def has_progress(self, state: WorkerState) -> bool:
        """Return whether the oldest order of the last check has been decided, or no order waits."""
        return state.backlog.oldest is None or self._oldest_order not in {None, state.backlog.oldest}

    def diagnose(self, state: WorkerState, now: float, limit: float) -> Diagnosis:
        """Diagnose a state at `now` (seconds of a monotonic clock); one order may be the oldest for `limit` seconds."""
        if state.backlog.oldest is None or state.backlog.oldest != self._oldest_order:
            self._oldest_order, self._oldest_since = state.backlog.oldest, now
            self._tasks_started, self._last_start_at = state.tasks_started, now
            return Diagnosis()
        if state.tasks_started != self._tasks_started:
            self._tasks_started, self._last_start_at = state.tasks_started, now
        waited = now - self._oldest_since
        if waited < limit:
            return Diagnosis()
        what = f"order {state.backlog.oldest} has waited {state.backlog.age.total_seconds():.0f} s for its decision"
        holder = state.backlog.lock_holder
        if holder is not None and holder.age.total_seconds() >= self.timeout / 2:
            held = f"session {holder.pid} ({holder.application}) has held the decider's lock for {holder.age}"
            return Diagnosis(f"{what}: {held}", restart=holder.application == self.session)
        if now - self._last_start_at < self.timeout / 2:
            return Diagnosis(f"{what}, though this worker runs the task: an earlier log record may give the cause")
        return Diagnosis(
            f"{what}, and this worker has begun no decision for {now - self._last_start_at:.0f} s", restart=True
        )


@define
class Watchdog:
    """Checks the worker periodically in a thread.

    `read_state` raises `Unavailable` when PostgreSQL or Redis does not answer. `request_decision` sends the message
    that beat sends. `end_worker` ends this process and its children.
    """

    _detector: StallDetector
    _read_state: Callable[[], WorkerState]
    _counter: RestartCounter
    _request_decision: Callable[[], None]
    _end_worker: Callable[[], None]
    _clock: Callable[[], float] = time.monotonic
    _restarts: int | None = None
    _reported_cause: str | None = field(default=None, init=False)

    def start(self) -> None:
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(min(self._detector.timeout / CHECKS_PER_TIMEOUT, MAX_CHECK_INTERVAL))
            try:
                self.check()
            except Exception:
                # The thread must survive every error.
                logger.exception("a check of the watchdog failed")

    def check(self) -> None:
        """Check once."""
        try:
            if self._restarts is None:
                self._restarts = self._counter.get()
            state = self._read_state()
            has_progress = self._detector.has_progress(state)
            diagnosis = self._detector.diagnose(state, self._clock(), self._current_limit)
            if has_progress and self._restarts:
                self._counter.reset()
                self._restarts = 0
            if not has_progress:
                # The check must not depend on a running beat.
                self._request_decision()
        except Unavailable:
            self._detector.reset()
            return
        if diagnosis.restart:
            logger.critical("%s: this worker ends itself to be restarted", diagnosis.cause)
            self._counter.increment()
            self._end_worker()
        elif diagnosis.cause is not None and self._reported_cause is None:
            logger.error("%s; a restart of this worker would not help", diagnosis.cause)
        self._reported_cause = diagnosis.cause

    @property
    def _current_limit(self) -> float:
        """The timeout in seconds. Each consecutive restart doubles it, so that restarts that do not help become
        rare.
        """
        return float(self._detector.timeout * 2 ** min(self._restarts or 0, MAX_DOUBLINGS))
