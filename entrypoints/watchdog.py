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

LOOKS: Final = 6
"""In the time that an order may stay undecided."""
LONGEST_LOOK: Final = 5.0
MOST_DOUBLINGS: Final = 6


class Memory(Protocol):
    """What outlives the process: how often in a row it has ended itself. Raises `Unavailable`."""

    def restarts(self) -> int: ...

    def restarting(self) -> None: ...

    def forget(self) -> None: ...


@frozen
class Seen:
    """At one moment: the backlog, and how many decide tasks this worker has begun since its start."""

    backlog: Backlog
    begun: int


@frozen
class Verdict:
    """`cause` says what is wrong, None: nothing. `restart`: starting this worker again may mend it."""

    cause: str | None = None
    restart: bool = False


@define
class Stall:
    """Judges what is seen, look after look. `name` is what this worker's sessions are called in PostgreSQL."""

    seconds: float
    name: str
    _oldest: int | None = None
    _since: float = 0.0
    _begun: int = 0
    _began_at: float = 0.0

    def blind(self) -> None:
        """A server did not answer: whatever waits, waits for that."""
        self._oldest = None

    def is_moving(self, seen: Seen) -> bool:
        """Whether the order that was the oldest at the last look has been decided, or none waits."""
        return seen.backlog.oldest is None or self._oldest not in {None, seen.backlog.oldest}

    def judge(self, seen: Seen, now: float, patience: float) -> Verdict:
        """`now` in seconds of a clock that never goes back; `patience` how long one order may stay the oldest."""
        if seen.backlog.oldest is None or seen.backlog.oldest != self._oldest:
            self._oldest, self._since = seen.backlog.oldest, now
            self._begun, self._began_at = seen.begun, now
            return Verdict()
        if seen.begun != self._begun:
            self._begun, self._began_at = seen.begun, now
        waited = now - self._since
        if waited < patience:
            return Verdict()
        what = f"order {seen.backlog.oldest} has waited {seen.backlog.age.total_seconds():.0f} s for its decision"
        turn = seen.backlog.lock_holder
        if turn is not None and turn.age.total_seconds() >= self.seconds / 2:
            held = f"session {turn.pid} ({turn.application}) has held the decider's lock for {turn.age}"
            return Verdict(f"{what}: {held}", restart=turn.application == self.name)
        if now - self._began_at < self.seconds / 2:
            return Verdict(f"{what}, though this worker runs the task: an earlier line of a log may say why")
        return Verdict(f"{what}, and this worker has begun no decision for {now - self._began_at:.0f} s", restart=True)


@define
class Watchdog:
    """`look` raises `Unavailable` when PostgreSQL or Redis does not answer; `nudge` asks for a decision, as beat does;
    `end` ends this process and all it has started.
    """

    _stall: Stall
    _look: Callable[[], Seen]
    _memory: Memory
    _nudge: Callable[[], None]
    _end: Callable[[], None]
    _clock: Callable[[], float] = time.monotonic
    _restarts: int | None = None
    _said: str | None = field(default=None, init=False)

    def start(self) -> None:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(min(self._stall.seconds / LOOKS, LONGEST_LOOK))
            try:
                self.look()
            except Exception:
                # Whoever watches must not be the one who falls asleep.
                logger.exception("the watchdog met an error")

    def look(self) -> None:
        """Once."""
        try:
            if self._restarts is None:
                self._restarts = self._memory.restarts()
            seen = self._look()
            is_moving = self._stall.is_moving(seen)
            verdict = self._stall.judge(seen, self._clock(), self._patience)
            if is_moving and self._restarts:
                self._memory.forget()
                self._restarts = 0
            if not is_moving:
                # Also without a beat: what is judged is this worker.
                self._nudge()
        except Unavailable:
            self._stall.blind()
            return
        if verdict.restart:
            logger.critical("%s: this worker ends now, to be started again", verdict.cause)
            self._memory.restarting()
            self._end()
        elif verdict.cause is not None and self._said is None:
            logger.error("%s; a restart of this worker would not help", verdict.cause)
        self._said = verdict.cause

    @property
    def _patience(self) -> float:
        """Doubled by each restart that did not help, so that it cannot go on and on."""
        return float(self._stall.seconds * 2 ** min(self._restarts or 0, MOST_DOUBLINGS))
