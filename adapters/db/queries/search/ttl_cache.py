"""What was found out about the catalogue and need not be found out again for a moment."""

import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

COUNT_STALENESS_SECONDS: Final = 30.0


class TtlCache(Generic[V]):
    """At most `most` values, none for longer than `KEPT_SECONDS`. All are dropped together: that is one assignment, so
    that threads need no lock, and nothing is done for each value.
    """

    def __init__(self, max_entries: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = max_entries
        self._clock = clock
        self._begun = clock()
        self._values: dict[Hashable, V] = {}

    def get(self, key: Hashable) -> V | None:
        return self._fresh().get(key)

    def put(self, key: Hashable, value: V) -> None:
        self._fresh()[key] = value

    def _fresh(self) -> dict[Hashable, V]:
        now = self._clock()
        if now - self._begun >= COUNT_STALENESS_SECONDS or len(self._values) > self._most:
            self._values, self._begun = {}, now
        return self._values
