"""Longer intervals of beat while no work waits.

Most tasks look for work, and in an idle market they find none. One process of each worker therefore asks the database
every `CHECK_SECONDS` whether work waits, and keeps a mark in Redis once none has waited for `IDLE_AFTER`. While beat
finds the mark, it sends the messages of `IDLE_TASKS` every `IDLE_INTERVAL` only. When work waits again, the process
that removes the mark sends these messages itself, so work waits for at most one check. If only a pricing policy is due,
the process sends the message of repricing alone, and the market stays idle, because most runs change no price. If the
policy is still due at the next check, the market counts as busy.

Views wait in Redis. Beat checks for them when it reads the mark, and while there are some, it sends their message at
the usual interval, without ending the idle state.

The mark expires: without a worker that renews it, beat has its usual intervals. The check finds the work of all
`IDLE_TASKS`; work that it does not know, such as that of a later release, waits for `IDLE_INTERVAL` at most.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, Protocol

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from adapters.tasks.schedule import DECIDE, MESSAGE_TTL, NUMBER_EVENTS, REPRICE, TASKS
from scalecommerce_core.domain.errors import Unavailable

logger = logging.getLogger(__name__)

IDLE_KEY: Final = "scalecommerce:idle"
CHECK_SECONDS: Final = 1.0
IDLE_AFTER: Final = 3.0
"""Seconds without work after which the market counts as idle; more than the interval of the tasks that read events."""
MARK_TTL_MS: Final = 5_000
"""Milliseconds for which the mark holds without a renewal."""
IDLE_INTERVAL: Final = timedelta(seconds=30)
IDLE_TASKS: Final = frozenset(task.name for task in TASKS if task.every < IDLE_INTERVAL)


class IdleMark(Protocol):
    """The mark that the market is idle; the methods raise `Unavailable`."""

    def set(self) -> None:
        """Set it, or renew it."""
        ...

    def remove(self) -> bool:
        """Remove it; return whether it was set."""
        ...


class RedisIdleMark:
    """The mark in Redis. `clock` is in seconds."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._responded_at = float("-inf")

    def set(self) -> None:
        with self._record_response():
            self._redis.set(IDLE_KEY, 1, px=MARK_TTL_MS)

    def remove(self) -> bool:
        with self._record_response():
            return bool(self._redis.delete(IDLE_KEY))

    def is_set(self) -> bool:
        """Return whether the market was idle within the last `MARK_TTL_MS`; raise `Unavailable`."""
        with self._record_response():
            return bool(self._redis.exists(IDLE_KEY))

    def responded_within(self, seconds: float) -> bool:
        """Whether Redis has responded to a command of this object within the last `seconds`."""
        return self._clock() - self._responded_at <= seconds

    @contextmanager
    def _record_response(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            raise Unavailable("Redis does not answer.") from error
        self._responded_at = self._clock()


def send_idle_tasks(app: Celery) -> None:
    """Send the messages of all `IDLE_TASKS`; raise `Unavailable` while Redis is away.

    Orders are decided first, and events are numbered before webhooks and statistics read them.
    """
    first = {DECIDE: 0, NUMBER_EVENTS: 1}
    _send(app, sorted((task.name for task in TASKS if task.name in IDLE_TASKS), key=lambda name: first.get(name, 2)))


def send_repricing(app: Celery) -> None:
    """Send the message that starts repricing; raise `Unavailable` while Redis is away."""
    _send(app, [REPRICE])


def _send(app: Celery, names: Iterable[str]) -> None:
    try:
        for name in names:
            app.send_task(name, retry=False, expires=MESSAGE_TTL.total_seconds())
    except (RedisError, OperationalError, OSError) as error:
        raise Unavailable("Redis does not answer.") from error


class IdleMonitor:
    """Sets the mark while no work waits.

    `read_work` returns the number of the last event, whether work other than due policies waits, and whether a policy
    is due; it raises `Unavailable`. `send` sends the messages of all `IDLE_TASKS`, `send_repricing` only the message of
    repricing.
    """

    def __init__(
        self,
        read_work: Callable[[], tuple[int, bool, bool]],
        mark: IdleMark,
        send: Callable[[], None],
        send_repricing: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_work = read_work
        self._mark = mark
        self._send = send
        self._send_repricing = send_repricing
        self._was_policy_due = False
        self._clock = clock
        self._last_event: int | None = None
        self._idle_since = clock()
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="idle monitor", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        """Check once. If a server does not answer, the market counts as busy."""
        try:
            last_event, work_waits, is_policy_due = self._read_work()
            is_idle = self._clock() - self._idle_since >= IDLE_AFTER
            is_busy_with_policies = is_policy_due and (self._was_policy_due or not is_idle)
            self._was_policy_due = is_policy_due
            if work_waits or is_busy_with_policies or last_event != self._last_event:
                self._last_event = last_event
                self._idle_since = self._clock()
                if self._mark.remove():
                    self._send()
            elif is_idle:
                self._mark.set()
                if is_policy_due:
                    self._send_repricing()
        except Unavailable:
            self._idle_since = self._clock()

    def _run(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            try:
                self.check()
            except Exception:
                # The thread must survive every error.
                logger.exception("the check whether the market is idle failed")
