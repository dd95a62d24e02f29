"""The times of visits: a Poisson process, without a burst after a stall."""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

MAX_LATENESS: Final = 1.0
"""Seconds. Slots that are later than this are dropped, so that no burst follows a stall of the engine."""


class Pacer:
    """Slots of a Poisson process with `rate` per second, shared by any number of threads."""

    def __init__(self, rate: float, rng: random.Random, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._rng = rng
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def next_delay(self) -> float:
        """Seconds until the caller's next slot; 0 if it has passed."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next + self._rng.expovariate(self._rate), now - MAX_LATENESS)
            return max(self._next - now, 0.0)
