"""When visitors come: at a steady rate on average, by chance in detail, and never in a rush after a stall."""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

MAX_LATENESS: Final = 1.0
"""Seconds: who is later than that has missed their turn, so that a stalled engine is not greeted by a crowd."""


class Pacer:
    """Moments of a Poisson process with `rate` per second; any number of threads may wait for their turn."""

    def __init__(self, rate: float, rng: random.Random, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._rng = rng
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def next_delay(self) -> float:
        """Seconds until the turn of whoever asks; 0 when it has come already."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next + self._rng.expovariate(self._rate), now - MAX_LATENESS)
            return max(self._next - now, 0.0)
