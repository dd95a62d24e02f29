"""`ports.LoginLimiter` in the memory of one process."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from scalecommerce_core.ports import RateLimit
from scalecommerce_core.services.sliding_windows import SlidingWindows

MAX_KEYS: Final = 50_000
"""Keys whose failures are stored, and known clients; beyond it, the ones used longest ago are dropped."""


class MemoryLoginLimiter:
    """Stores the times of the newest failures of each key, and the known clients."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._failures = SlidingWindows(max_keys)
        self._known: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def retry_after(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        with self._lock:
            return self._failures.wait(uses, now)

    def record_failure(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> None:
        with self._lock:
            self._failures.count(uses, now)

    def reset(self, uses: Collection[tuple[RateLimit, str]]) -> None:
        with self._lock:
            self._failures.reset(uses)

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
