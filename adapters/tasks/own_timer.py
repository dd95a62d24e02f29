"""Runs tasks on a worker's own timer while Redis is away, so that orders are decided without it.

Messages only start the search for work; the work is in PostgreSQL. They stop while Redis is away, and for up to 32 s
after that, because Celery's attempts to reconnect have growing intervals. One pool process of each worker has the
timer, in a thread. Repeating a task that a message has started too is harmless. Messages that stop although Redis
answers are left to the watchdog, which restarts the worker.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.sharedctypes import RawValue
from typing import Final

from adapters.tasks.schedule import TASKS
from adapters.tasks.tasks import BackgroundTasks

logger = logging.getLogger(__name__)

SILENCE_SECONDS: Final = 1.5
"""The timer starts tasks when no message has arrived for this long and Redis does not answer. Beat sends few
messages in an idle market, and several workers share them, so a worker may receive none for longer."""
TICK_SECONDS: Final = 0.5
RECONNECT_SECONDS: Final = 40.0
"""The timer continues for this long after Redis is back, unless messages arrive before."""
PING_SECONDS: Final = 5.0
"""Between two checks of a Redis that is away; a check may take as long as its timeout."""
SILENT_PING_SECONDS: Final = 1.0
"""Between two checks of a Redis that answers although no messages arrive."""


class MessageClock:
    """When a process of this worker last received a message; to be made before the processes fork."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds, and the same in all processes."""
        self._clock = clock
        # One aligned double: reading and writing need no lock.
        self._last = RawValue("d", clock())

    def touch(self) -> None:
        self._last.value = self._clock()

    def silence(self) -> float:
        """Seconds since the last message."""
        return max(0.0, self._clock() - float(self._last.value))


_INTERVALS: Final = {task.run: task.every.total_seconds() for task in TASKS}
SWEEPS: Final[Mapping[Callable[[BackgroundTasks], None], float]] = {
    # `decide_orders` would wait for Redis.
    BackgroundTasks.sweep_orders: _INTERVALS[BackgroundTasks.decide_orders],
    **{
        task: _INTERVALS[task]
        for task in (
            BackgroundTasks.expire_reservations,
            BackgroundTasks.reconcile_payments,
            BackgroundTasks.send_refunds,
            BackgroundTasks.number_events,
            BackgroundTasks.fold_statistics,
            BackgroundTasks.sweep_promotions,
            BackgroundTasks.sync_price_index,
            BackgroundTasks.update_vocabulary,
        )
    },
}
"""The tasks of the timer, which need no Redis, and their intervals in seconds. Views, webhooks, e-mails and repricing
wait for Redis, in which their data or their locks are; what is purged can wait."""


class OwnTimer:
    """Starts the tasks of `SWEEPS` at their intervals while no messages arrive."""

    def __init__(
        self,
        messages: MessageClock,
        get_tasks: Callable[[], BackgroundTasks],
        is_broker_away: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._messages = messages
        self._get_tasks = get_tasks
        self._clock = clock
        self._due = dict.fromkeys(SWEEPS, float("-inf"))
        self._is_broker_away = is_broker_away
        self._runs_until = self._ping_at = float("-inf")
        self._is_running = False
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="own timer", daemon=True).start()

    def stop(self) -> None:
        """Start no further task."""
        self._stopped.set()

    def tick(self) -> None:
        """Run the tasks that are due if no messages arrive because Redis is away."""
        if not self._is_needed():
            return
        for run, every in SWEEPS.items():
            if self._stopped.is_set():
                return
            if self._clock() < self._due[run]:
                continue
            self._due[run] = self._clock() + every
            try:
                run(self._get_tasks())
            except Exception:
                # The thread must survive every error. A server that is away raises none here.
                logger.exception("%s failed", run.__name__)

    def _run(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            self.tick()

    def _is_needed(self) -> bool:
        if self._messages.silence() < SILENCE_SECONDS:
            self._runs_until = float("-inf")
        elif self._clock() >= self._ping_at:
            if self._is_broker_away():
                self._runs_until = self._clock() + RECONNECT_SECONDS
            self._ping_at = self._clock() + (PING_SECONDS if self._clock() < self._runs_until else SILENT_PING_SECONDS)
        is_needed = self._clock() < self._runs_until
        if is_needed and not self._is_running:
            logger.warning("no messages arrive from Redis: this worker decides orders on its own timer")
        elif self._is_running and not is_needed:
            logger.info("this worker waits for messages from Redis again")
        self._is_running = is_needed
        return is_needed
