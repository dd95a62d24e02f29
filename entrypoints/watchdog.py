"""A worker that is up but decides nothing ends itself, so that whoever supervises it starts it again.

Liveness is the age of the oldest undecided order: a process that exists, is connected and answers pings may have
stopped consuming all the same. What a restart cannot mend (a server is away, others hold what is needed) is said
and left alone, and repeated restarts come at growing intervals.
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
"""In the time that an order may stay undecided."""
MAX_CHECK_INTERVAL: Final = 5.0
MAX_DOUBLINGS: Final = 6


class RestartCounter(Protocol):
    """What outlives the process: how often in a row it has ended itself. Raises `Unavailable`."""

    def get(self) -> int: ...

    def increment(self) -> None: ...

    def reset(self) -> None: ...


@frozen
class WorkerState:
    """At one moment: the backlog, and how many decide tasks this worker has begun since its start."""

    backlog: Backlog
    tasks_started: int


@frozen
class Diagnosis:
    """`cause` says what is wrong, None: nothing. `restart`: starting this worker again may mend it."""

    cause: str | None = None
    restart: bool = False


@define
class StallDetector:
    """Judges what is seen, look after look. `name` is what this worker's sessions are called in PostgreSQL."""

    timeout: float
    session: str
    _oldest_order: int | None = None
    _oldest_since: float = 0.0
    _tasks_started: int = 0
    _last_start_at: float = 0.0

    def reset(self) -> None:
        """A server did not answer: whatever waits, waits for that."""
        self._oldest_order = None

    def has_progress(self, seen: WorkerState) -> bool:
        """Whether the order that was the oldest at the last look has been decided, or none waits."""
        return seen.backlog.oldest is None or self._oldest_order not in {None, seen.backlog.oldest}

    def diagnose(self, state: WorkerState, now: float, limit: float) -> Diagnosis:
        """`now` in seconds of a clock that never goes back; `patience` how long one order may stay the oldest."""
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
        turn = state.backlog.lock_holder
        if turn is not None and turn.age.total_seconds() >= self.timeout / 2:
            held = f"session {turn.pid} ({turn.application}) has held the decider's lock for {turn.age}"
            return Diagnosis(f"{what}: {held}", restart=turn.application == self.session)
        if now - self._last_start_at < self.timeout / 2:
            return Diagnosis(f"{what}, though this worker runs the task: an earlier line of a log may say why")
        return Diagnosis(
            f"{what}, and this worker has begun no decision for {now - self._last_start_at:.0f} s", restart=True
        )


@define
class Watchdog:
    """`look` raises `Unavailable` when PostgreSQL or Redis does not answer; `nudge` asks for a decision, as beat does;
    `end` ends this process and all it has started.
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
                # Whoever watches must not be the one who falls asleep.
                logger.exception("the watchdog met an error")

    def check(self) -> None:
        """Once."""
        try:
            if self._restarts is None:
                self._restarts = self._counter.get()
            seen = self._read_state()
            is_moving = self._detector.has_progress(seen)
            verdict = self._detector.diagnose(seen, self._clock(), self._current_limit)
            if is_moving and self._restarts:
                self._counter.reset()
                self._restarts = 0
            if not is_moving:
                # Also without a beat: what is judged is this worker.
                self._request_decision()
        except Unavailable:
            self._detector.reset()
            return
        if verdict.restart:
            logger.critical("%s: this worker ends now, to be started again", verdict.cause)
            self._counter.increment()
            self._end_worker()
        elif verdict.cause is not None and self._reported_cause is None:
            logger.error("%s; a restart of this worker would not help", verdict.cause)
        self._reported_cause = verdict.cause

    @property
    def _current_limit(self) -> float:
        """Doubled by each restart that did not help, so that it cannot go on and on."""
        return float(self._detector.timeout * 2 ** min(self._restarts or 0, MAX_DOUBLINGS))
