"""Celery beat's scheduler, with a bound on the number of queued messages, and longer intervals in an idle market."""

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from celery.beat import Scheduler, SchedulingError
from celery.schedules import schedule
from kombu.exceptions import OperationalError
from redis import RedisError

from adapters.tasks.broker import MAX_QUEUED_MESSAGES, QUEUE
from adapters.tasks.idle import IDLE_INTERVAL, IDLE_KEY, IDLE_TASKS
from adapters.tasks.schedule import FLUSH_VIEWS, TASKS

logger = logging.getLogger(__name__)

COUNT_SECONDS: Final = 1.0
"""How long a count of the queued messages is used; messages that beat sends meanwhile are added to it. Whether the
market is idle, and whether views wait, is read at the same interval."""
_INTERVALS: Final = {task.name: task.every for task in TASKS if task.name in IDLE_TASKS}


class BoundedBeat(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Sends nothing while `MAX_QUEUED_MESSAGES` messages are queued.

    Redis holds an expired message until a worker receives it. Without this bound, beat alone would queue hundreds of
    thousands of messages on a day without a worker.
    """

    def __init__(self, *args: Any, view_keys: Sequence[str] = (), **options: Any) -> None:
        """`view_keys`: keys in Redis of which one exists while views wait to be written to the database."""
        super().__init__(*args, **options)
        # It connects when it is first used, and again after an outage.
        self._connection = self.app.connection_for_write()
        self._was_full = False
        self._queued = 0
        self._counted_at = float("-inf")
        self._is_broker_away = False
        self._view_keys = view_keys
        self._slowed = frozenset[str]()
        self._slowed_read_at = float("-inf")

    def tick(self, *args: Any, **options: Any) -> Any:
        """Send the next message that is due; return the seconds until the next call."""
        if monotonic() >= self._slowed_read_at + COUNT_SECONDS:
            self._slowed_read_at = monotonic()
            if self._slowed != (slowed := self._read_slowed_tasks()):
                self._slowed = slowed
                self._change_intervals()
        return super().tick(*args, **options)

    def _change_intervals(self) -> None:
        for name, every in _INTERVALS.items():
            self.schedule[name].schedule = schedule(IDLE_INTERVAL if name in self._slowed else every, app=self.app)
        # Celery then orders the entries by their new times.
        self._heap = None

    def _read_slowed_tasks(self) -> frozenset[str]:
        """Return the names of the tasks that are to run every `IDLE_INTERVAL`."""
        try:
            with self._connection.default_channel.client.pipeline(transaction=False) as pipe:
                pipe.exists(IDLE_KEY)
                if self._view_keys:
                    pipe.exists(*self._view_keys)
                is_idle, *views = pipe.execute()
        except (RedisError, OperationalError, OSError):
            return frozenset()
        if not is_idle:
            return frozenset()
        return IDLE_TASKS if views == [0] else IDLE_TASKS - {FLUSH_VIEWS}

    def schedules_equal(self, old_schedules: Any, new_schedules: Any) -> bool:
        """Celery compares all entries at each message; this schedule does not change."""
        return (old_schedules is None) == (new_schedules is None)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        is_full = self._is_queue_full()
        if is_full and not self._was_full:
            logger.warning("no worker takes messages: beat sends none while %d are queued", MAX_QUEUED_MESSAGES)
        self._was_full = is_full
        if not is_full:
            self._send(entry, producer)

    def _send(self, entry: Any, producer: Any) -> None:
        """Log one line per outage; Celery's method logs a traceback per message."""
        try:
            self._queued += 1
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            if not self._is_broker_away:
                logger.warning("the beat cannot send messages: %s", error.__cause__ or error)
            self._is_broker_away = True
        else:
            if self._is_broker_away:
                logger.info("the beat sends messages again")
            self._is_broker_away = False

    def _is_queue_full(self) -> bool:
        if self._queued < MAX_QUEUED_MESSAGES and monotonic() < self._counted_at + COUNT_SECONDS:
            return False
        try:
            self._queued = self._count_messages()
        except (RedisError, OperationalError, OSError):
            # `_send` meets the same error and logs it.
            return False
        self._counted_at = monotonic()
        return self._queued >= MAX_QUEUED_MESSAGES

    def _count_messages(self) -> int:
        return int(self._connection.default_channel.client.llen(QUEUE))
