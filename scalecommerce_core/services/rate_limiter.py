"""`ports.RateLimiter` in the memory of one process, and a memory of refusals."""

import threading
from collections import OrderedDict, deque
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from scalecommerce_core.ports import RateLimit

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
    """Stores the times of the counted events of each key, at most `RateLimit.events` of them."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._times: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def acquire(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        with self._lock:
            waits = [wait for limit, key in uses if (wait := self._wait(limit, key, now)) is not None]
            if waits:
                return max(waits)
            for limit, key in uses:
                self._count(limit, key, now)
        return None

    def _wait(self, limit: RateLimit, key: str, now: datetime) -> timedelta | None:
        times = self._times.get((limit.name, key))
        if times is None or len(times) < limit.events:
            return None
        # The next event is allowed when this one, the n-th newest, leaves the window.
        wait = times[-limit.events] + limit.window - now
        return wait if wait > timedelta(0) else None

    def _count(self, limit: RateLimit, key: str, now: datetime) -> None:
        times = self._times.setdefault((limit.name, key), deque())
        times.append(now)
        while len(times) > limit.events:
            times.popleft()
        self._times.move_to_end((limit.name, key))
        if len(self._times) > self._max_keys:
            self._times.popitem(last=False)
