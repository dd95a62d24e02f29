"""`ports.SecurityLog` as structured log lines and counters."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from scalecommerce_core.ports import SecurityEvent, SecurityEventKind

LOGGER_NAME: Final = "scalecommerce.security"
"""The logger of all security events, so that operators can select them."""
LINES_PER_PERIOD: Final = 100
"""Log lines of one kind in `PERIOD_SECONDS`. Further events are counted, and one line states their number: an attacker
must not fill the disk."""
LINES_PER_ADDRESS: Final = 20
"""Of these, lines with one address: a flood from one address must not hide what others do."""
PERIOD_SECONDS: Final = 10.0
FLUSH_SECONDS: Final = 1.0

WARNINGS: Final = frozenset(
    {
        SecurityEventKind.LOG_IN_FAILED,
        SecurityEventKind.LOG_IN_LIMITED,
        SecurityEventKind.ACCESS_REFUSED,
        SecurityEventKind.LIMIT_REACHED,
        SecurityEventKind.OVERLOAD_SHED,
        SecurityEventKind.REFRESH_TOKEN_REUSED,
    }
)
"""Events that are logged as warnings: something was refused. All others have the level INFO."""

logger = logging.getLogger(LOGGER_NAME)


class EventCounters(Protocol):
    """Adds up events of all processes."""

    def add(self, counts: Mapping[str, int]) -> None:
        """Add the number of events of each kind; raises nothing, and may drop them."""
        ...


class LoggingSecurityLog:
    """Writes one log line per event, at most `LINES_PER_PERIOD` of a kind in a period and `LINES_PER_ADDRESS` of these
    with one address, and counts every event.

    A thread, started with the first event, passes the counts to `counters` and logs how many events had no line.
    """

    def __init__(self, counters: EventCounters, now: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._now = now
        self._lock = threading.Lock()
        self._lines: Counter[SecurityEventKind] = Counter()
        self._lines_by_address: Counter[tuple[SecurityEventKind, str]] = Counter()
        self._without_line: Counter[SecurityEventKind] = Counter()
        self._counts: Counter[SecurityEventKind] = Counter()
        self._period_began = now()
        self._stopping = threading.Event()
        self._flusher: threading.Thread | None = None

    def record(self, event: SecurityEvent) -> None:
        with self._lock:
            if self._flusher is None:
                # Started here and not in the constructor: a thread does not survive a fork.
                self._flusher = threading.Thread(target=self._flush_regularly, name="security-log", daemon=True)
                self._flusher.start()
            self._counts[event.kind] += 1
            has_line = self._acquire_line(event)
        if has_line:
            fields = {
                "security_event": event.kind.value,
                "account_id": event.account_id,
                "actor_id": event.actor_id,
                "address": event.address or None,
                "detail": event.detail or None,
            }
            given = {name: value for name, value in fields.items() if value is not None}
            logger.log(_level(event.kind), "security event", extra=given)

    def _acquire_line(self, event: SecurityEvent) -> bool:
        kind, of_address = event.kind, (event.kind, event.address)
        if self._lines[kind] >= LINES_PER_PERIOD or self._lines_by_address[of_address] >= LINES_PER_ADDRESS:
            self._without_line[kind] += 1
            return False
        self._lines[kind] += 1
        if event.address:
            self._lines_by_address[of_address] += 1
        return True

    def flush(self) -> None:
        """Pass the counts on; at the end of a period, log how many events of each kind had no line."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            without_line: Counter[SecurityEventKind] = Counter()
            if self._now() - self._period_began >= PERIOD_SECONDS:
                without_line, self._without_line = self._without_line, Counter()
                self._lines.clear()
                self._lines_by_address.clear()
                self._period_began = self._now()
        if counts:
            self._counters.add({kind.value: count for kind, count in counts.items()})
        self._log_events_without_line(without_line)

    def close(self) -> None:
        """End the thread and flush; events recorded later are still logged, but not counted."""
        self._stopping.set()
        if self._flusher is not None:
            self._flusher.join(timeout=5)
        self.flush()

    def _flush_regularly(self) -> None:
        while not self._stopping.wait(FLUSH_SECONDS):
            self.flush()

    @staticmethod
    def _log_events_without_line(without_line: Mapping[SecurityEventKind, int]) -> None:
        for kind, count in without_line.items():
            fields = {"security_event": kind.value, "count": count}
            logger.log(_level(kind), "security events without a line of their own", extra=fields)


def _level(kind: SecurityEventKind) -> int:
    return logging.WARNING if kind in WARNINGS else logging.INFO
