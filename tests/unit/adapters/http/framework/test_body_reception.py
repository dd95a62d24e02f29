"""Deadline and memory of request bodies, with clients that send as slowly as a test wants."""

import asyncio
import gc
import json
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import Factory, define
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from adapters.http.framework.body_reception import BodyLimits
from adapters.http.framework.middleware import BaselineMiddleware, RequestPolicy
from adapters.http.framework.problems import content_too_large

LIMIT = 1000
SECONDS = 30.0


async def echo_length(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


@define
class SlowClient:
    """A request whose body arrives in parts that the test passes to `push`."""

    task: "asyncio.Task[None]"
    parts: "asyncio.Queue[Message]"
    sent: list[Message] = Factory(list)

    async def push(self, part: bytes, *, more: bool = True) -> None:
        self.parts.put_nowait({"type": "http.request", "body": part, "more_body": more})
        await settle()

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def answer(self) -> Any:
        """Status and code of the problem."""
        return self.status, json.loads(self.sent[1]["body"])["code"]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Server:
    def __init__(self, limits: BodyLimits, app: Any = echo_length) -> None:
        self.now = 0.0
        self.middleware = BaselineMiddleware(app, policy=RequestPolicy(bodies=limits))
        self.reception = self.middleware._bodies
        self.reception._clock = lambda: self.now

    async def open(self, first: bytes = b"", *, method: str = "POST") -> SlowClient:
        parts: asyncio.Queue[Message] = asyncio.Queue()
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": "/", "raw_path": b"/",
            "query_string": b"", "headers": [(b"host", b"a")], "client": ("127.0.0.1", 1), "scheme": "http",
        }  # fmt: skip
        client = SlowClient(asyncio.ensure_future(self.middleware(scope, parts.get, send)), parts, sent)
        await settle()
        if first:
            await client.push(first)
        return client


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def in_loop() -> None:
        await test()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(in_loop())


@pytest.mark.parametrize("first", [b"", b"half of the bo"])
def test_a_body_that_is_late_is_a_408(first: bytes) -> None:
    async def test() -> None:
        server = Server(BodyLimits(SECONDS, 0))
        client = await server.open(first)
        server.now = SECONDS - 1
        server.reception.expire()
        await settle()
        assert client.status is None
        server.now = SECONDS
        server.reception.expire()
        await settle()
        assert client.answer == (408, "request_timeout")
        assert client.task.done()
        assert server.reception.buffered_bytes == 0

    run(test)


def test_a_body_that_is_given_up_leaves_no_reference_cycle() -> None:
    """The server closes the connection when it frees the objects of the request."""

    async def test() -> None:
        server = Server(BodyLimits(SECONDS, 0))
        client = await server.open(b"abc")
        parts = weakref.ref(client.parts)
        del client.parts
        server.now = SECONDS
        server.reception.expire()
        await client.task
        client.task = asyncio.ensure_future(asyncio.sleep(0))
        assert client.status == 408
        assert parts() is None

    gc.disable()
    try:
        run(test)
    finally:
        gc.enable()


def test_parts_do_not_extend_the_deadline() -> None:
    async def test() -> None:
        server = Server(BodyLimits(SECONDS, 0))
        client = await server.open(b"a")
        for server.now in range(1, 40, 10):
            await client.push(b"a")
            server.reception.expire()
            await settle()
        assert client.status == 408

    run(test)


def test_a_body_that_arrives_in_time_is_processed_after_its_deadline() -> None:
    async def test() -> None:
        waiting = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            await request.body()
            await waiting.wait()
            await echo_length(scope, request.receive, send)

        server = Server(BodyLimits(SECONDS, 100), slow)
        client = await server.open(b"12345")
        await client.push(b"67", more=False)
        server.now = 10 * SECONDS
        server.reception.expire()
        await settle()
        assert (client.status, server.reception.buffered_bytes) == (None, 7)
        waiting.set()
        await client.push(b"", more=False)
        assert client.status == 200
        assert server.reception.buffered_bytes == 0

    run(test)


def test_the_oldest_incomplete_bodies_make_room_for_new_ones() -> None:
    async def test() -> None:
        server = Server(BodyLimits(SECONDS, 250))
        first, second = await server.open(b"a" * 100), await server.open(b"b" * 100)
        newcomer = await server.open(b"c" * 100)
        assert first.answer == (503, "overloaded")
        assert dict(first.sent[0]["headers"])[b"retry-after"]
        assert (second.status, newcomer.status) == (None, None)
        assert server.reception.buffered_bytes == 200
        await newcomer.push(b"", more=False)
        assert newcomer.status == 200
        await second.push(b"", more=False)
        assert second.status == 200
        assert server.reception.buffered_bytes == 0

    run(test)


def test_a_body_without_bytes_makes_no_room_and_stays() -> None:
    async def test() -> None:
        server = Server(BodyLimits(SECONDS, 150))
        empty, full = await server.open(), await server.open(b"a" * 100)
        await server.open(b"b" * 100)
        assert (empty.status, full.status) == (None, 503)

    run(test)


def test_a_body_for_which_nothing_makes_room_is_a_503() -> None:
    async def test() -> None:
        server = Server(BodyLimits(SECONDS, 150))
        alone = await server.open(b"a" * 200)
        assert alone.answer == (503, "overloaded")
        assert server.reception.buffered_bytes == 0

    run(test)


def test_a_body_that_is_refused_is_released() -> None:
    async def test() -> None:
        async def refuse(_scope: Scope, receive: Receive, _send: Send) -> None:
            await receive()
            raise content_too_large(LIMIT)

        server = Server(BodyLimits(SECONDS, 0), refuse)
        client = await server.open(b"a" * 2 * LIMIT)
        assert client.answer == (413, "content_too_large")
        assert (server.reception.buffered_bytes, len(server.reception._incomplete)) == (0, 0)

    run(test)


def test_a_disconnected_client_is_forgotten() -> None:
    async def test() -> None:
        server = Server(BodyLimits(SECONDS, 0))
        client = await server.open(b"abc")
        client.parts.put_nowait({"type": "http.disconnect"})
        await settle()
        assert client.task.done()
        assert (server.reception.buffered_bytes, len(server.reception._incomplete)) == (0, 0)

    run(test)


def test_a_cancelled_request_stays_cancelled() -> None:
    async def test() -> None:
        server = Server(BodyLimits(SECONDS, 0))
        client = await server.open(b"abc")
        client.task.cancel()
        await settle()
        assert client.task.cancelled()
        assert (client.sent, server.reception.buffered_bytes) == ([], 0)

    run(test)


def test_limits_of_zero_are_off() -> None:
    async def test() -> None:
        server = Server(BodyLimits(0, 0))
        client = await server.open(b"a" * LIMIT)
        assert server.reception._timer is None
        await client.push(b"", more=False)
        assert client.status == 200

    run(test)
