"""`ports.LoginLimiter` in the memory of one process."""

import threading
from collections import OrderedDict, deque
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from scalecommerce_core.ports import RateLimit

MAX_KEYS: Final = 50_000
"""Keys whose failures are stored, and known clients; beyond it, the ones used longest ago are dropped."""


class MemoryLoginLimiter:
    """Stores the times of the newest failures of each key, at most `RateLimit.events` of them."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._failures: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()
        self._known: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def retry_after(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        with self._lock:
            waits = [self._wait(limit, key, now) for limit, key in uses]
        return max((wait for wait in waits if wait > timedelta(0)), default=None)

    def record_failure(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> None:
        with self._lock:
            for limit, key in uses:
                failures = self._failures.setdefault((limit.name, key), deque())
                failures.append(now)
                while len(failures) > limit.events:
                    failures.popleft()
                self._failures.move_to_end((limit.name, key))
            while len(self._failures) > self._max_keys:
                self._failures.popitem(last=False)

    def reset(self, uses: Collection[tuple[RateLimit, str]]) -> None:
        with self._lock:
            for limit, key in uses:
                self._failures.pop((limit.name, key), None)

    def remember_client(self, client: str, until: datetime) -> None:
        with self._lock:
            self._known[client] = until
            self._known.move_to_end(client)
            while len(self._known) > self._max_keys:
                self._known.popitem(last=False)

    def is_known_client(self, client: str, now: datetime) -> bool:
        with self._lock:
            until = self._known.get(client)
        return until is not None and now < until

    def _wait(self, limit: RateLimit, key: str, now: datetime) -> timedelta:
        failures = self._failures.get((limit.name, key), ())
        # The next attempt is allowed when this failure, the n-th newest, leaves the window.
        return timedelta(0) if len(failures) < limit.events else failures[-limit.events] + limit.window - now
