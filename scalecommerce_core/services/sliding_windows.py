"""Sliding windows of events in the memory of one process."""

from collections import OrderedDict, deque
from collections.abc import Collection
from datetime import datetime, timedelta

from scalecommerce_core.ports import RateLimit


class SlidingWindows:
    """The times of the newest events of each pair of limit and key, at most `RateLimit.events` of each.

    Beyond `max_keys` pairs, the ones used longest ago are dropped. Callers hold a lock.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._times: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()

    def wait(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> timedelta | None:
        """Return the time until all pairs allow another event; None if they allow it now."""
        waits = [self._wait(limit, key, now) for limit, key in uses]
        return max((wait for wait in waits if wait > timedelta(0)), default=None)

    def count(self, uses: Collection[tuple[RateLimit, str]], now: datetime) -> None:
        """Count one event under each pair."""
        for limit, key in uses:
            times = self._times.setdefault((limit.name, key), deque())
            times.append(now)
            while len(times) > limit.events:
                times.popleft()
            self._times.move_to_end((limit.name, key))
        while len(self._times) > self._max_keys:
            self._times.popitem(last=False)

    def reset(self, uses: Collection[tuple[RateLimit, str]]) -> None:
        """Drop the events of these pairs."""
        for limit, key in uses:
            self._times.pop((limit.name, key), None)

    def _wait(self, limit: RateLimit, key: str, now: datetime) -> timedelta:
        times = self._times.get((limit.name, key), ())
        # The next event is allowed when this one, the n-th newest, leaves the window.
        return timedelta(0) if len(times) < limit.events else times[-limit.events] + limit.window - now
