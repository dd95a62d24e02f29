"""When intake refuses orders because too many wait for their decision.

The rule follows CoDel (RFC 8289): a burst is accepted, a standing queue is not. A standing queue delays all buyers, and
no more orders are decided than with a short queue. Decision record 0076 gives the reasons for the numbers.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from attrs import frozen

from scalecommerce_core.domain.errors import OrderBacklogFull, Unavailable
from scalecommerce_core.ports import Clock
from scalecommerce_core.queries import OrderQueries, ValidationBacklog

logger = logging.getLogger(__name__)

TARGET_WAIT: Final = timedelta(seconds=1)
"""The wait for a decision that is aimed at while more orders arrive than can be decided."""
STANDING_AFTER: Final = timedelta(seconds=10)
"""A queue whose wait is above the target for this long is a standing queue, until the wait has been below the target
for as long."""
RESUME_SHARE: Final = 0.1
"""Refused orders are accepted again when the wait has fallen to this share of the target."""
PROGRESS_MEMORY: Final = timedelta(seconds=2)
"""Decisions come in batches: if there was none for this long, the decider counts as stopped."""
SAMPLE_INTERVAL: Final = timedelta(milliseconds=250)
REFUSING_INTERVAL: Final = timedelta(milliseconds=100)
"""The interval of samples while orders are refused, so that intake resumes before the decider has nothing to do."""
RETRY_INTERVAL: Final = timedelta(seconds=1)
"""The interval of samples while they fail."""
SAMPLE_SHARE: Final = 0.05
"""The largest share of time that is spent on samples."""
STALE_AFTER: Final = timedelta(seconds=2)
"""An older sample is not used: the next order waits for a new one."""
RATE_WEIGHT: Final = 0.3
"""The weight of the last sample in the measured rate of decisions."""
MEASURED_FOR: Final = timedelta(seconds=1)
"""A rate of decisions refuses orders only after it has been measured for this long while orders were left: in a single
sample, a pause of the decider cannot be told from a low rate."""


@frozen
class BacklogSample:
    """What was undecided at a time."""

    at: datetime
    backlog: ValidationBacklog


class BacklogRule:
    """Decides from successive samples whether orders are refused. It reads nothing and has no clock."""

    def __init__(self, limit: timedelta, decided_by_intake: int = 0) -> None:
        """`limit`: orders are refused at once if the expected wait is longer, or if nothing has been decided for so
        long. `decided_by_intake`: with fewer undecided orders, the next accepted order decides all of them, so a
        decider that is away does not matter.
        """
        self._limit = limit
        self._decided_by_intake = decided_by_intake
        self._target = min(TARGET_WAIT, limit / 2)
        self._standing_after = min(STANDING_AFTER, limit)
        self._last: BacklogSample | None = None
        self._rate = 0.0
        self._measured_for = timedelta()
        """For how long `_rate` has been measured while orders were left. Zero: it is only a lower bound."""
        self._first_since: datetime | None = None
        """Since when the first undecided order has been the first."""
        self._progress_at: datetime | None = None
        self._above_since: datetime | None = None
        self._below_since: datetime | None = None
        self._is_congested = False
        self.retry_after: timedelta | None = None
        """None while orders are accepted; otherwise the time in which the present backlog should be decided."""

    @property
    def decisions_per_second(self) -> float | None:
        """The measured rate of decisions; None while only a lower bound is known."""
        # During an overload, refusals empty the queue before `MEASURED_FOR` has passed.
        needed = timedelta.resolution if self._is_congested else MEASURED_FOR
        return self._rate if self._measured_for >= needed else None

    def observe(self, sample: BacklogSample) -> None:
        """Take a sample. `remaining` must count the orders with an id up to `last` of the sample before."""
        previous, self._last = self._last, sample
        now, backlog = sample.at, sample.backlog
        if previous is not None and now - previous.at > STANDING_AFTER:
            self._forget_load()
        has_remaining = previous is not None and backlog.remaining > 0
        decided = 0
        if previous is not None and previous.at < now:
            decided = max(0, previous.backlog.undecided - backlog.remaining)
            self._update_rate(decided, now - previous.at, has_remaining=has_remaining)
        if decided or not has_remaining:
            self._progress_at = now
        is_deciding = self._progress_at is not None and now - self._progress_at < PROGRESS_MEMORY
        if previous is None or previous.backlog.first != backlog.first:
            self._first_since = now
        # The age of the order is not used: one that was requeued is old.
        is_stuck = not is_deciding and backlog.undecided >= self._decided_by_intake
        stuck_for = now - (self._first_since or now) if is_stuck else timedelta()
        wait = self._expected_wait(backlog) if has_remaining else timedelta()
        self._update_state(now, wait, stuck_for, is_deciding=is_deciding)

    def _forget_load(self) -> None:
        """Forget the state of the queue after a period without orders, in which it may have changed."""
        self._is_congested = False
        self._above_since = self._below_since = self.retry_after = None
        self._measured_for = timedelta()

    def _update_rate(self, decided: int, elapsed: timedelta, *, has_remaining: bool) -> None:
        """Update the rate. If no order remained, the decider was idle for some time, so the rate is a lower bound."""
        rate = decided / elapsed.total_seconds()
        if not has_remaining or elapsed > STALE_AFTER:
            self._rate = max(self._rate, rate)
            if not self._is_congested:
                self._measured_for = timedelta()
        elif decided:
            # A lower bound can be far too small, so it does not lower the first exact figure.
            is_first = not self._measured_for
            self._rate = max(self._rate, rate) if is_first else self._rate + RATE_WEIGHT * (rate - self._rate)
            self._measured_for += elapsed

    def _expected_wait(self, backlog: ValidationBacklog) -> timedelta:
        """Zero if the rate of decisions is not known."""
        rate = self.decisions_per_second
        return timedelta(seconds=backlog.undecided / rate) if rate else timedelta()

    def _update_state(self, now: datetime, wait: timedelta, stuck_for: timedelta, *, is_deciding: bool) -> None:
        is_above = wait > self._target and is_deciding
        self._above_since = (self._above_since or now) if is_above else None
        self._below_since = None if wait > self._target else (self._below_since or now)
        # While nothing is decided, the wait cannot be computed from an earlier rate.
        is_above_limit = (wait > self._limit and is_deciding) or stuck_for > self._limit
        is_standing = self._above_since is not None and now - self._above_since >= self._standing_after
        is_refusing = self.retry_after is not None
        if is_above_limit or is_standing:
            self._is_congested = is_refusing = True
        elif is_refusing:
            is_refusing = wait > self._target * RESUME_SHARE or stuck_for > self._target
        elif self._is_congested:
            is_refusing = is_above
            if self._below_since is not None and now - self._below_since >= self._standing_after:
                self._is_congested = False
        # While nothing is decided, the time of the next decision is unknown.
        self.retry_after = (wait if is_deciding else max(wait, self._limit)) if is_refusing else None


class IntakeThrottle:
    """Samples the backlog while orders arrive, and decides whether they are refused.

    A sample is one statement, a few times per second, started by an order and run by `in_background`. Only an order
    after a pause of `STALE_AFTER` waits for it. If samples fail, no order is refused.
    """

    def __init__(
        self,
        queries: OrderQueries,
        clock: Clock,
        limit: timedelta,
        in_background: Callable[[Callable[[], None]], object],
        *,
        decided_by_intake: int = 0,
    ) -> None:
        """`limit`, `decided_by_intake`: as for `BacklogRule`."""
        self._queries = queries
        self._clock = clock
        self._in_background = in_background
        self._limit = limit
        self._decided_by_intake = decided_by_intake
        self._rule = BacklogRule(limit, decided_by_intake)
        self._sampling = Lock()
        self._sampled_at: datetime | None = None
        self._due_at: datetime | None = None
        self._last: ValidationBacklog = ValidationBacklog()

    def refusal(self) -> OrderBacklogFull | None:
        """The error of an order that arrives now; None if it is accepted."""
        now = self._clock.now()
        if self._sampled_at is None or now - self._sampled_at > STALE_AFTER:
            self._sample_unless_sampling()
        elif self._due_at is None or now >= self._due_at:
            self._due_at = now + SAMPLE_INTERVAL
            self._in_background(self._sample_unless_sampling)
        wait = self._rule.retry_after
        return None if wait is None else OrderBacklogFull(wait)

    def _sample_unless_sampling(self) -> None:
        if self._sampling.acquire(blocking=False):
            try:
                self._sample()
            except Unavailable as error:
                logger.debug("the undecided orders could not be counted: %s", error)
                self._start_again()
            except Exception:
                # The order that started the sample is accepted all the same.
                logger.exception("the undecided orders could not be counted")
                self._start_again()
            finally:
                self._sampling.release()

    def _start_again(self) -> None:
        self._rule, self._last = BacklogRule(self._limit, self._decided_by_intake), ValidationBacklog()
        # The next orders do not wait for a store that does not answer.
        self._sampled_at = self._clock.now()
        self._due_at = self._sampled_at + RETRY_INTERVAL

    def _sample(self) -> None:
        begun = self._clock.now()
        backlog = self._queries.validation_backlog(self._last.last)
        ended = self._clock.now()
        was_refusing = self._rule.retry_after is not None
        self._rule.observe(BacklogSample(begun, backlog))
        self._last, self._sampled_at = backlog, ended
        is_refusing = self._rule.retry_after is not None
        interval = REFUSING_INTERVAL if is_refusing else SAMPLE_INTERVAL
        self._due_at = ended + max(interval, (ended - begun) * (1 / SAMPLE_SHARE))
        if is_refusing and not was_refusing:
            logger.warning(
                "orders are refused: %d are undecided, %.0f are decided per second",
                backlog.undecided,
                self._rule.decisions_per_second or 0,
            )
        elif was_refusing and not is_refusing:
            logger.warning("orders are accepted again: %d are undecided", backlog.undecided)
