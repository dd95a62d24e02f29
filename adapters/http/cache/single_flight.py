"""Who makes what, while others wait for it: one loader per key at a time."""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

from adapters.http.cache.invalidation import HEARTBEAT_TIMEOUT

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class InFlightLoad(Generic[Key, Value]):
    """A value on its way. Whoever makes it sets it, as that of a future; whoever wants it joins.

    Each who joins waits for a future of their own: one who goes away takes nothing from the others.
    """

    __slots__ = ("_group", "_is_done", "_key", "_on_complete", "_waiters", "started_at")

    def __init__(
        self, flights: "SingleFlight[Key, Value]", key: Key, begun: float, landed: Callable[[Key, Value], None]
    ) -> None:
        self.started_at: Final = begun
        self._group = flights
        self._key = key
        self._on_complete = landed
        self._waiters: list[asyncio.Future[Value]] = []
        self._is_done = False

    def wait(self) -> "asyncio.Future[Value]":
        waiter: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def done(self) -> bool:
        return self._is_done

    def set_result(self, value: Value) -> None:
        self._finish()
        self._on_complete(self._key, value)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(value)

    def set_exception(self, error: BaseException) -> None:
        self._finish()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def cancel(self) -> None:
        self._finish()
        for waiter in self._waiters:
            waiter.cancel()

    def _finish(self) -> None:
        self._is_done = True
        self._group.remove(self._key, self)


class SingleFlight(Generic[Key, Value]):
    """Whoever joins a flight gets what was read since it began. So one that is older than what may be shown, or older
    than news, is not joined any more: it ends for those that wait for it already, and another begins.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_flight: dict[Key, InFlightLoad[Key, Value]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._in_flight

    def __len__(self) -> int:
        return len(self._in_flight)

    def find_joinable(self, key: Key) -> InFlightLoad[Key, Value] | None:
        found = self._in_flight.get(key)
        return found if found is not None and self._clock() - found.started_at < HEARTBEAT_TIMEOUT else None

    def start(self, key: Key, on_complete: Callable[[Key, Value], None]) -> InFlightLoad[Key, Value]:
        """`landed` gets what it brings, if it brings anything, before those who wait do."""
        flight = self._in_flight[key] = InFlightLoad(self, key, self._clock(), on_complete)
        return flight

    def remove(self, key: Key, flight: InFlightLoad[Key, Value]) -> None:
        if self._in_flight.get(key) is flight:
            del self._in_flight[key]

    def detach(self, keys: Iterable[Key]) -> None:
        """Nobody joins these any more."""
        for key in keys:
            self._in_flight.pop(key, None)

    def detach_all(self) -> None:
        self._in_flight.clear()
