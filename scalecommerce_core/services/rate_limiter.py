"""`ports.RateLimiter` in the memory of one process, and a memory of refusals."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from scalecommerce_core.ports import RateLimit
from scalecommerce_core.services.sliding_windows import SlidingWindows

MAX_KEYS: Final = 50_000
"""Pairs of limit and key whose events are stored; beyond it, the ones used longest ago are dropped."""


class KnownRefusals:
    """Until when keys are refused, so that repeated requests are refused again without any work.

    A sliding window allows nothing before the time that it named at the first refusal.
    """

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._until: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: str, until: datetime) -> None:
        with self._lock:
            self._until[key] = until
            self._until.move_to_end(key)
            if len(self._until) > self._max_keys:
                self._until.popitem(last=False)

    def wait(self, key: str, now: datetime) -> timedelta | None:
        """The time until the key is allowed again, as far as this process knows; None: it may be allowed now."""
        with self._lock:
            until = self._until.get(key)
            if until is not None and until <= now:
                del self._until[key]
        return until - now if until is not None and until > now else None


class MemoryRateLimiter:
    """Stores the times of the counted events of each key."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._windows = SlidingWindows(max_keys)
        self._lock = threading.Lock()

    def acquire(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        with self._lock:
            wait = self._windows.wait(uses, now)
            if wait is None:
                self._windows.count(uses, now)
        return wait
