"""Who makes what, while others wait for it: one loader per key at a time."""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

from adapters.http.cache.invalidation import TRUST_SECONDS

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Flight(Generic[Key, Value]):
    """A value on its way. Whoever makes it sets it, as that of a future; whoever wants it joins.

    Each who joins waits for a future of their own: one who goes away takes nothing from the others.
    """

    __slots__ = ("_flights", "_is_over", "_key", "_landed", "_waiting", "begun")

    def __init__(
        self, flights: "Flights[Key, Value]", key: Key, begun: float, landed: Callable[[Key, Value], None]
    ) -> None:
        self.begun: Final = begun
        self._flights = flights
        self._key = key
        self._landed = landed
        self._waiting: list[asyncio.Future[Value]] = []
        self._is_over = False

    def join(self) -> "asyncio.Future[Value]":
        waiter: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    def done(self) -> bool:
        return self._is_over

    def set_result(self, value: Value) -> None:
        self._end()
        self._landed(self._key, value)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(value)

    def set_exception(self, error: BaseException) -> None:
        self._end()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error)

    def cancel(self) -> None:
        self._end()
        for waiter in self._waiting:
            waiter.cancel()

    def _end(self) -> None:
        self._is_over = True
        self._flights.ended(self._key, self)


class Flights(Generic[Key, Value]):
    """Whoever joins a flight gets what was read since it began. So one that is older than what may be shown, or older
    than news, is not joined any more: it ends for those that wait for it already, and another begins.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flying: dict[Key, Flight[Key, Value]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._flying

    def __len__(self) -> int:
        return len(self._flying)

    def joinable(self, key: Key) -> Flight[Key, Value] | None:
        found = self._flying.get(key)
        return found if found is not None and self._clock() - found.begun < TRUST_SECONDS else None

    def begin(self, key: Key, landed: Callable[[Key, Value], None]) -> Flight[Key, Value]:
        """`landed` gets what it brings, if it brings anything, before those who wait do."""
        flight = self._flying[key] = Flight(self, key, self._clock(), landed)
        return flight

    def ended(self, key: Key, flight: Flight[Key, Value]) -> None:
        if self._flying.get(key) is flight:
            del self._flying[key]

    def leave(self, keys: Iterable[Key]) -> None:
        """Nobody joins these any more."""
        for key in keys:
            self._flying.pop(key, None)

    def leave_all(self) -> None:
        self._flying.clear()
