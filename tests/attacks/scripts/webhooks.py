"""Webhooks to receivers that answer late, and test messages to a receiver that did not ask for them."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any, ClassVar, Final

from attrs import Factory, define

from tests.attacks.attack import Attack, AttackFigures, AttackReport
from tests.attacks.target import Account, HttpSession, Target

WEBHOOKS: Final = "/webhooks/api/v1/"
LOOPBACK: Final[Mapping[str, str]] = {"WEBHOOKS_ALLOW_LOOPBACK": "true"}
PRODUCTS: Final = "/products/api/v1/"
LATE: Final = 30.0
"""Seconds until a slow receiver answers; the engine does not wait for so long."""
SLOW_ACCOUNTS: Final = 10
SLOW_ENDPOINTS: Final = 20
"""Endpoints of each account; a short attack has `FEW_ENDPOINTS`."""
FEW_ENDPOINTS: Final = 4
SHORT_SECONDS: Final = 5.0
SLOW_SHARE: Final = 150
"""Messages to slow receivers that may be open at once, of the 200 that the engine sends."""
EVENT_PAUSE: Final = 0.5
PING_PAUSE: Final = 0.005


@define
class Receivers:
    """Receivers on this machine: `/slow` answers late, `/honest` at once, `/silent` without the challenge."""

    port: int = 0
    arrived: Counter[str] = Factory(Counter)
    """Messages by path, without verifications."""
    honest: dict[int, float] = Factory(dict)
    """Monotonic time of the arrival of the event about a product, by the product's id."""
    waiting: int = 0
    most_waiting: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            length = next(int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
            message = json.loads(await reader.readexactly(length))
            writer.write(await self._answer(path, message, reader))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _answer(self, path: str, message: dict[str, Any], reader: asyncio.StreamReader) -> bytes:
        if message["type"] == "webhook.verification" and path != "/silent":
            body = message["data"]["challenge"].encode()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        self.arrived[path] += 1
        if path == "/honest" and "product" in message["data"]:
            self.honest.setdefault(message["data"]["product"], time.monotonic())
        if path == "/slow":
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
            try:
                # Ends earlier when the engine closes the connection.
                await asyncio.wait_for(reader.read(), LATE)
            except TimeoutError:
                pass
            finally:
                self.waiting -= 1
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def receiving() -> Iterator[Receivers]:
    """Run the receivers in a thread of their own."""
    receivers, ready, ended = Receivers(), threading.Event(), threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(receivers.serve, "127.0.0.1", 0, backlog=512)
        receivers.port = server.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.to_thread(ended.wait)
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield receivers
    finally:
        ended.set()
        thread.join(30)


class _Seller:
    """An account that lists products, which are events for its endpoints."""

    def __init__(self, target: Target, account: Account, figures: AttackFigures) -> None:
        self._target = target
        self.token = target.log_in(account)
        self._figures = figures

    def subscribe(self, session: HttpSession, url: str) -> int | None:
        """Create an endpoint; return its id, or None if that is refused."""
        reply = session.request("POST", WEBHOOKS, {"url": url, "topics": ["product.listed"]}, token=self.token)
        self._figures.requests += 1
        self._figures.answers[f"create {reply.status}"] += 1
        return int(reply.body["id"]) if reply.status == 201 else None

    def wait_until_verified(self, session: HttpSession, endpoint: int) -> bool:
        """Wait for up to 30 s; engines without verification send events at once."""
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            reply = session.request("GET", f"{WEBHOOKS}{endpoint}/", token=self.token)
            if reply.status == 200 and reply.body.get("is_verified", True):
                return True
            time.sleep(0.2)
        return False

    def list_product(self, session: HttpSession) -> int | None:
        product = {"name": "Tea pot", "category_id": 1, "price": "9.00", "stock": 1}
        reply = session.request("POST", PRODUCTS, product, token=self.token)
        self._figures.requests += 1
        self._figures.answers[f"list {reply.status}"] += 1
        return int(reply.body["id"]) if reply.status == 201 else None


class SlowReceivers(Attack):
    """Up to ten accounts with 20 slow receivers each, beside an honest receiver that gets two events a second."""

    name = "slow_receivers"
    # All receivers have the same host here; those of an attacker would not.
    settings: ClassVar[Mapping[str, str]] = {**LOOPBACK, "WEBHOOK_TESTS_PER_HOST": "0"}

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        with receiving() as receivers, target.session() as session:
            honest, *attackers = [_Seller(target, account, figures) for account in target.buyers[: SLOW_ACCOUNTS + 1]]
            url = f"http://127.0.0.1:{receivers.port}"
            own = honest.subscribe(session, f"{url}/honest")
            assert own is not None
            assert honest.wait_until_verified(session, own)
            endpoints = [
                (attacker, endpoint)
                for attacker in attackers
                for _ in range(SLOW_ENDPOINTS if target.seconds > SHORT_SECONDS else FEW_ENDPOINTS)
                if (endpoint := attacker.subscribe(session, f"{url}/slow")) is not None
            ]
            if endpoints:
                endpoints[-1][0].wait_until_verified(session, endpoints[-1][1])
            listed: dict[int, float] = {}
            for number, left in enumerate(target.time_left()):
                for attacker in attackers if number % 4 == 0 else ():
                    attacker.list_product(session)
                product = honest.list_product(session)
                if product is not None:
                    listed[product] = time.monotonic()
                time.sleep(min(EVENT_PAUSE, left))
            # Events that are still to arrive get the time that the slowest batch of an older engine takes.
            ends = time.monotonic() + 60
            while len(receivers.honest) < len(listed) and time.monotonic() < ends:
                time.sleep(0.1)
            delays = [receivers.honest[product] - at for product, at in listed.items() if product in receivers.honest]
            figures.notes |= {
                "slow endpoints": float(len(endpoints)),
                "honest events": float(len(listed)),
                "honest events that arrived": float(len(delays)),
                "median delay, s": median(delays) if delays else 0.0,
                "longest delay, s": max(delays, default=0.0),
                "messages to slow receivers": float(receivers.arrived["/slow"]),
                "open at once": float(receivers.most_waiting),
            }
        return figures

    def check(self, report: AttackReport) -> list[str]:
        notes = report.figures.notes
        missed = []
        if notes["honest events that arrived"] != notes["honest events"]:
            missed.append("events of the honest account did not arrive")
        if float(notes["open at once"]) > SLOW_SHARE:
            missed.append(f"{notes['open at once']:.0f} messages to slow receivers were open at once")
        return missed


class PingFlood(Attack):
    """Test messages, as many as the engine accepts, to a receiver that has not agreed to get them."""

    name = "ping_flood"
    settings: ClassVar[Mapping[str, str]] = LOOPBACK

    def run(self, target: Target) -> AttackFigures:
        figures = AttackFigures()
        with receiving() as receivers, target.session() as session:
            attacker = _Seller(target, target.buyers[0], figures)
            endpoint = attacker.subscribe(session, f"http://127.0.0.1:{receivers.port}/silent")
            for left in target.time_left():
                reply = session.request("POST", f"{WEBHOOKS}{endpoint}/test/", token=attacker.token)
                figures.requests += 1
                figures.answers[f"test {reply.status}"] += 1
                time.sleep(min(PING_PAUSE, left))
            time.sleep(2)
            figures.notes["messages that the target received"] = float(receivers.arrived["/silent"])
        return figures

    def check(self, report: AttackReport) -> list[str]:
        accepted = report.figures.answers["test 202"]
        return [] if accepted <= 60 else [f"{accepted} test messages were accepted for a target that did not agree"]


ATTACKS = (SlowReceivers(), PingFlood())
