"""Who makes what, while others wait for it: one loader per key at a time."""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from adapters.http.cache.knowledge import TRUST_SECONDS

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Flights(Generic[Key, Value]):
    """Whoever joins a flight gets what was read since it began. So one that is older than what may be shown, or older
    than news, is not joined any more: it ends for those that wait for it already, and another begins.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flying: dict[Key, tuple[asyncio.Future[Value], float]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._flying

    def __len__(self) -> int:
        return len(self._flying)

    def joinable(self, key: Key) -> "asyncio.Future[Value] | None":
        found = self._flying.get(key)
        if found is None or self._clock() - found[1] >= TRUST_SECONDS:
            return None
        return found[0]

    def begin(self, key: Key, flight: "asyncio.Future[Value]", landed: "Callable[[Value], None]") -> None:
        """`landed` gets what it brings, if it brings anything, before those who wait do."""

        def land(done: "asyncio.Future[Value]") -> None:
            found = self._flying.get(key)
            if found is not None and found[0] is done:
                del self._flying[key]
            # Asked for in any case: nobody may be left to hear of an error.
            if not done.cancelled() and done.exception() is None:
                landed(done.result())

        self._flying[key] = flight, self._clock()
        flight.add_done_callback(land)

    def leave(self, keys: Iterable[Key]) -> None:
        """Nobody joins these any more."""
        for key in keys:
            self._flying.pop(key, None)

    def leave_all(self) -> None:
        self._flying.clear()
