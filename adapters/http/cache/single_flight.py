"""Single-flight: concurrent requests for one missing cache entry share one load."""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

from adapters.http.cache.invalidation import HEARTBEAT_TIMEOUT
from adapters.http.framework.request_client import RequestClient

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class InFlightLoad(Generic[Key, Value]):
    """A load in progress. Its loader sets the result, as on a future; each request calls `wait`.

    Each request gets a future of its own, so that cancelling one request does not cancel the others.
    """

    __slots__ = ("_group", "_is_done", "_key", "_on_complete", "_waiters", "client", "started_at")

    def __init__(
        self,
        group: "SingleFlight[Key, Value]",
        key: Key,
        started_at: float,
        on_complete: Callable[[Key, Value], None],
        client: RequestClient | None = None,
    ) -> None:
        """`client` is that of the request that started the load."""
        self.started_at: Final = started_at
        self.client: Final = client
        self._group = group
        self._key = key
        self._on_complete = on_complete
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
    """The loads in progress, at most one joinable load per key.

    A request that joins a load gets data read since the load started. So a load is not joinable once it is older than
    `HEARTBEAT_TIMEOUT`, or after an invalidation of its key (`detach`). The requests that joined before still get its
    result; later requests start another load.
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

    def start(
        self, key: Key, on_complete: Callable[[Key, Value], None], client: RequestClient | None = None
    ) -> InFlightLoad[Key, Value]:
        """Register a new load. `on_complete` gets its result, before the waiting requests; an error skips it."""
        load = self._in_flight[key] = InFlightLoad(self, key, self._clock(), on_complete, client)
        return load

    def remove(self, key: Key, load: InFlightLoad[Key, Value]) -> None:
        if self._in_flight.get(key) is load:
            del self._in_flight[key]

    def detach(self, keys: Iterable[Key]) -> None:
        """Make the loads of these keys unjoinable."""
        for key in keys:
            self._in_flight.pop(key, None)

    def detach_all(self) -> None:
        self._in_flight.clear()
