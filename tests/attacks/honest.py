"""Honest clients: a modest open-loop load from their own addresses, which shows what an attack does to others.

Requests are planned independent of the engine's speed, and a latency begins at the planned moment, so that no wait is
omitted.
"""

import asyncio
import json
import random
import re
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from tests.attacks.attack import Latency
from tests.attacks.target import Account, Target

ADDRESSES: Final = [f"127.0.2.{number}" for number in range(1, 9)]
"""One for each buyer, as different people have."""
CONNECTIONS: Final = 12
"""Per address; a browser opens six, and further requests wait."""
PATIENCE: Final = 10.0
"""Seconds after which a client gives up."""
IDLE_SECONDS: Final = 4.0
"""Connections that were idle for longer are closed, as clients do."""
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@frozen
class Rates:
    """Requests per second. Newcomers read a product on a new connection; the others keep their connections."""

    read: float = 50
    newcomer: float = 4
    order: float = 5
    log_in: float = 0.5


@frozen
class Sample:
    kind: str
    planned: float
    """`time.monotonic()`, which all processes of a machine share."""
    milliseconds: float
    failure: str = ""


class Failed(Exception):
    """A request without the expected answer; the text is the status or the kind of failure."""


class _ClosedBeforeAnswer(ConnectionError):
    """The engine closed the connection and sent nothing."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._used = time.monotonic()
        self._must_close = False

    @property
    def is_usable(self) -> bool:
        return not (
            self._must_close
            or self._reader.at_eof()
            or self._writer.is_closing()
            or time.monotonic() - self._used > IDLE_SECONDS
        )

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        self._writer.write(request)
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.close()
            if isinstance(error, ConnectionError) or not error.partial:
                raise _ClosedBeforeAnswer from None
            raise
        length = _LENGTH.search(head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        self._must_close = _CLOSE.search(head) is not None
        self._used = time.monotonic()
        return int(head[9:12]), body

    def close(self) -> None:
        self._writer.close()


class _Client:
    """A client at one address with persistent connections."""

    def __init__(self, target: Target, address: str, account: Account | None) -> None:
        self._target = target
        self._address = address
        self.account = account
        self.token = ""
        self._idle: deque[_Connection] = deque()
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        new_connection: bool = False,
    ) -> tuple[int, Any]:
        """Send a request and return status and body; raise `Failed` without an answer."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._target.host}:{self._target.port}", "Accept: */*"]
        lines += [f"{name}: {text}" for name, text in (headers or {}).items()]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        request = "\r\n".join([*lines, "\r\n"]).encode() + content
        try:
            async with asyncio.timeout(PATIENCE), self._free:
                connection = None if new_connection else self._take()
                is_reused = connection is not None
                if connection is None:
                    connection = await self._connect()
                try:
                    status, answer = await connection.exchange(request)
                except _ClosedBeforeAnswer:
                    # The engine closed an idle connection at this moment. Clients repeat safe requests (RFC 9110,
                    # section 9.2.2).
                    if method != "GET" or not is_reused:
                        raise
                    connection = await self._connect()
                    status, answer = await connection.exchange(request)
                except BaseException:
                    connection.close()
                    raise
                if new_connection:
                    connection.close()
                else:
                    self._idle.append(connection)
        except TimeoutError:
            raise Failed("no answer") from None
        except (OSError, EOFError) as error:
            raise Failed(type(error).__name__) from None
        return status, json.loads(answer) if answer else None

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.popleft()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        return _Connection(
            *await asyncio.open_connection(self._target.host, self._target.port, local_addr=(self._address, 0))
        )

    async def log_in(self) -> None:
        if self.account is None:
            raise Failed("no account")
        credentials = {"email": self.account.email, "password": self.account.password}
        status, pair = await self.send("POST", "/users/api/v1/token/", credentials)
        if status != 200:
            raise Failed(str(status))
        self.token = pair["access"]

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


class _HonestLoad:
    def __init__(self, target: Target, rates: Rates, end: float) -> None:
        self._target = target
        self._rates = rates
        self._end = end
        self._rng = random.Random(5)
        accounts: Sequence[Account | None] = target.buyers or [None] * len(ADDRESSES)
        self._clients = [
            _Client(target, address, account) for address, account in zip(ADDRESSES, accounts, strict=False)
        ]
        self._samples: list[Sample] = []
        self._group = asyncio.TaskGroup()

    async def run(self) -> list[Sample]:
        buyers = [client for client in self._clients if client.account is not None]
        for buyer in buyers:
            await buyer.log_in()
        kinds: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("read", self._rates.read, self._read),
            ("newcomer", self._rates.newcomer, self._read_on_new_connection),
        ]
        if buyers:
            kinds.append(("log_in", self._rates.log_in, lambda: self._rng.choice(buyers).log_in()))
            if self._target.plentiful:
                kinds.append(("order", self._rates.order, lambda: self._order(self._rng.choice(buyers))))
        async with self._group:
            for kind, rate, work in kinds:
                if rate:
                    self._group.create_task(self._repeat(kind, rate, work))
        for client in self._clients:
            client.close()
        return self._samples

    async def _repeat(self, kind: str, rate: float, work: Callable[[], Awaitable[None]]) -> None:
        planned = time.monotonic()
        while (planned := planned + self._rng.expovariate(rate)) < self._end:
            await asyncio.sleep(planned - time.monotonic())
            self._group.create_task(self._measure(kind, planned, work))

    async def _measure(self, kind: str, planned: float, work: Callable[[], Awaitable[None]]) -> None:
        failure = ""
        try:
            await work()
        except Failed as failed:
            failure = str(failed)
        self._samples.append(Sample(kind, planned, (time.monotonic() - planned) * 1000, failure))

    async def _read(self, *, new_connection: bool = False) -> None:
        path = f"/products/api/v1/{self._rng.choice(self._target.products)}/"
        status, _ = await self._rng.choice(self._clients).send("GET", path, new_connection=new_connection)
        if status != 200:
            raise Failed(str(status))

    async def _read_on_new_connection(self) -> None:
        await self._read(new_connection=True)

    async def _order(self, buyer: _Client) -> None:
        """Order and wait for the decision. The payment follows, but its time is not part of the sample."""
        items = {"order_item": [{"product": self._rng.choice(self._target.plentiful), "quantity": 1}]}
        headers = {"Authorization": f"Bearer {buyer.token}"}
        status, order = await buyer.send("POST", "/orders/api/v1/", items, {**headers, "Prefer": "wait=8"})
        if status not in {201, 202}:
            raise Failed(str(status))
        self._group.create_task(self._pay(buyer, order["id"], headers))

    async def _pay(self, buyer: _Client, order: int, headers: Mapping[str, str]) -> None:
        planned, failure = time.monotonic(), ""
        try:
            status, _ = await buyer.send("POST", f"/orders/api/v1/{order}/pay/", {}, headers)
            failure = "" if status in {200, 202} else str(status)
        except Failed as failed:
            failure = str(failed)
        self._samples.append(Sample("payment", planned, (time.monotonic() - planned) * 1000, failure))


def run_honest_load(target: Target, rates: Rates, seconds: float) -> list[Sample]:
    """Send requests for `seconds` and return a sample of each."""
    return asyncio.run(_HonestLoad(target, rates, time.monotonic() + seconds).run())


def latencies(samples: Iterable[Sample], begin: float, end: float) -> dict[str, Latency]:
    """Summarize by kind the requests that were planned from `begin` to `end`."""
    kinds: dict[str, list[Sample]] = {}
    for sample in samples:
        if begin <= sample.planned < end:
            kinds.setdefault(sample.kind, []).append(sample)
    return {kind: _summarize(kinds[kind]) for kind in sorted(kinds)}


def _summarize(samples: Sequence[Sample]) -> Latency:
    ordered = sorted(sample.milliseconds for sample in samples)
    return Latency(
        count=len(ordered),
        p50=ordered[len(ordered) // 2],
        p99=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        slowest=ordered[-1],
        failed=Counter(sample.failure for sample in samples if sample.failure),
    )
