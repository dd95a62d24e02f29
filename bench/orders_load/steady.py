"""An open loop: requests are sent at planned moments, independent of the engine's speed.

wrk has no rate: it sends less while the engine is slow, and so omits the longest waits (coordinated omission). Here a
latency begins at the planned moment, so it includes the time in which a request waited for a connection. The client is
a Python program on the same cores; its own delay is part of the figures.
"""

import asyncio
import random
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Self

from attrs import Factory, define

from bench.orders_load.engine import MeasuredEngine

CONNECTIONS: Final = 128
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_LOCATION: Final = re.compile(rb"location: /orders/api/v1/(\d+)/", re.IGNORECASE)

Request = bytes


@define
class Taken:
    """Answers of a run: milliseconds per answer, the time of each accepted order's 202, and counts by status.

    `late` is the client's own delay in milliseconds, which is part of `milliseconds` and no part of `from_sending`.
    """

    milliseconds: list[float] = Factory(list)
    from_sending: list[float] = Factory(list)
    late: list[float] = Factory(list)
    accepted: dict[int, datetime] = Factory(dict)
    statuses: dict[int, int] = Factory(dict)


class _Connection(asyncio.Protocol):
    """One persistent connection with one request in flight."""

    def __init__(self, taken: Taken, free: Callable[["_Connection"], None]) -> None:
        self._taken = taken
        self._free = free
        self._received = b""
        self._planned = self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def send(self, request: Request, planned: float) -> None:
        self._planned, self._sent = planned, time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length is not None and len(body) < int(length[1])):
            return
        self._received = b""
        taken, status = self._taken, int((_STATUS.match(head) or [b"", b"0"])[1])
        now = time.perf_counter()
        taken.milliseconds.append((now - self._planned) * 1000)
        taken.from_sending.append((now - self._sent) * 1000)
        taken.statuses[status] = taken.statuses.get(status, 0) + 1
        if location := _LOCATION.search(head):
            taken.accepted[int(location[1])] = datetime.now(UTC)
        self._free(self)

    def close(self) -> None:
        self._transport.close()


class SteadyClient:
    """`async with Client(engine, n)`: n persistent connections. Further requests wait, as part of their latency."""

    def __init__(self, engine: MeasuredEngine, connections: int = CONNECTIONS) -> None:
        self._engine = engine
        self._count = connections
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[tuple[Request, float]] = deque()
        self._done = asyncio.Event()
        self.taken = Taken()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, connection = await loop.create_connection(
                lambda: _Connection(self.taken, self._freed), self._engine.host, self._engine.port
            )
            self._idle.append(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._idle:
            connection.close()

    def send(self, request: Request, planned: float) -> None:
        if self._idle:
            self._idle.popleft().send(request, planned)
        else:
            self._waiting.append((request, planned))

    def _freed(self, connection: _Connection) -> None:
        if self._waiting:
            connection.send(*self._waiting.popleft())
            return
        self._idle.append(connection)
        if len(self._idle) == self._count:
            self._done.set()

    async def all_answered(self, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while len(self._idle) < self._count:
                self._done.clear()
                await self._done.wait()


def order_request(engine: MeasuredEngine, token: str, products: Sequence[int]) -> Request:
    items = ",".join(f'{{"product":{product},"quantity":1}}' for product in products)
    body = f'{{"order_item":[{items}]}}'
    return (
        f"POST /orders/api/v1/ HTTP/1.1\r\nHost: {engine.host}:{engine.port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def steady_load(
    engine: MeasuredEngine, *, tokens: Sequence[str], products: int, mode: str, rate: float, seconds: float
) -> Taken:
    """Send `rate` orders per second at random (Poisson) moments, as independent buyers do."""
    chance = random.Random(7)

    def order() -> Request:
        return order_request(engine, chance.choice(tokens), pair())

    def pair() -> tuple[int, int]:
        if mode == "hot":
            return 1, 2
        first, second = chance.sample(range(1, products + 1), 2)
        return first, second

    return open_loop(engine, order, rate=rate, seconds=seconds)


def open_loop(engine: MeasuredEngine, request: Callable[[], Request], *, rate: float, seconds: float) -> Taken:
    """Send `rate` requests per second at random (Poisson) moments."""
    chance = random.Random(8)

    async def load() -> Taken:
        async with SteadyClient(engine) as client:
            planned = time.perf_counter() + 0.1
            end = planned + seconds
            while planned < end:
                made = request()
                if (early := planned - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                client.taken.late.append((time.perf_counter() - planned) * 1000)
                client.send(made, planned)
                planned += chance.expovariate(rate)
            await client.all_answered()
            return client.taken

    return asyncio.run(load())
