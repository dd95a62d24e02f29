"""Connections that are opened and held, so that nobody else gets one."""

import errno
import resource
import selectors
import socket
import time
from typing import ClassVar, Final

from tests.attacks.attack import Attack, AttackFigures, AttackReport, unanswered
from tests.attacks.target import ATTACKER, Target

TICK: Final = 0.05
MAX_HELD_PER_ADDRESS: Final = 400
"""Connections of one address that the engine may have: its default limit, and some that it has not closed yet."""
_CONNECTING: Final = {errno.EINPROGRESS, errno.EWOULDBLOCK, 0}


class HeldConnections(Attack):
    """Opens connections until `count` of them are held, and opens new ones for those that the engine closes."""

    count: ClassVar[int]
    rate: ClassVar[float] = 500.0
    """New connections per second at most."""
    request: ClassVar[bytes] = b""
    """What is sent on each connection."""
    addresses: ClassVar[int] = 1
    reads: ClassVar[bool] = True
    """Whether answers are read; otherwise the attacker's receive buffers stay full."""

    def run(self, target: Target) -> AttackFigures:
        return _Holder(self, target).run()

    def address(self, number: int) -> str:
        """The source address of a connection."""
        return ATTACKER if self.addresses == 1 else f"127.1.{number % self.addresses // 200}.{number % 200 + 1}"


class _Holder:
    def __init__(self, attack: HeldConnections, target: Target) -> None:
        self._attack = attack
        self._target = target
        self._figures = AttackFigures()
        self._selector = selectors.DefaultSelector()
        self._unsent: dict[socket.socket, bytes] = {}
        self._opened = 0
        self._most_held = 0

    def run(self) -> AttackFigures:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self._attack.count + 200
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
        begun = time.monotonic()
        for left in self._target.time_left():
            allowed = int((time.monotonic() - begun) * self._attack.rate) + 1
            while len(self._unsent) < self._attack.count and self._opened < allowed and self._open():
                pass
            self._most_held = max(self._most_held, len(self._unsent))
            self._exchange(min(TICK, left))
        self._figures.requests = self._opened
        self._figures.notes |= {"most held": float(self._most_held), "held at the end": float(len(self._unsent))}
        for connection in list(self._unsent):
            connection.close()
        return self._figures

    def _open(self) -> bool:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if not self._attack.reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        try:
            connection.bind((self._attack.address(self._opened), 0))
            status = connection.connect_ex((self._target.host, self._target.port))
        except OSError as error:
            status = error.errno or errno.EIO
        self._opened += 1
        if status not in _CONNECTING:
            self._figures.answers[errno.errorcode[status]] += 1
            connection.close()
            return False
        self._unsent[connection] = self._attack.request
        self._selector.register(connection, self._events(connection))
        return True

    def _events(self, connection: socket.socket) -> int:
        writes = selectors.EVENT_WRITE if self._unsent[connection] else 0
        # `poll` needs at least one event; an attacker that does not read is told of errors anyway.
        return writes | selectors.EVENT_READ if self._attack.reads or not writes else writes

    def _exchange(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready = self._selector.select(left)
            for key, events in ready:
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                try:
                    if events & selectors.EVENT_WRITE:
                        self._send(connection)
                    if events & selectors.EVENT_READ and not self._receive(connection):
                        self._close(connection, "closed")
                except OSError as error:
                    self._close(connection, type(error).__name__)
            if not self._attack.reads and ready:
                time.sleep(min(left, TICK))

    def _send(self, connection: socket.socket) -> None:
        sent = connection.send(self._unsent[connection])
        self._unsent[connection] = self._unsent[connection][sent:]
        self._selector.modify(connection, self._events(connection))

    def _receive(self, connection: socket.socket) -> bool:
        """Read what has arrived; whether the connection is still open."""
        if not self._attack.reads:
            return bool(connection.recv(1, socket.MSG_PEEK))
        received = connection.recv(65536)
        if received.startswith(b"HTTP/1.1 "):
            self._figures.answers[received[9:12].decode()] += 1
        return bool(received)

    def _close(self, connection: socket.socket, how: str) -> None:
        self._figures.answers[how] += 1
        self._selector.unregister(connection)
        del self._unsent[connection]
        connection.close()


_BIND_ADDRESS_NO_PORT: Final = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen by `connect`, so more connections than ports are possible."""


class ConnectionAttack(HeldConnections):
    """An attack after which honest newcomers must have been answered, and few connections remain."""

    has_latency_bars = True

    def check(self, report: AttackReport) -> list[str]:
        sentences = unanswered(report)
        limit = MAX_HELD_PER_ADDRESS * self.addresses
        held = report.during.usage.peak_sockets - report.before.usage.peak_sockets
        if self.addresses == 1 and held > limit:
            sentences.append(f"the engine held {held} connections of one address")
        return sentences


class SilentConnections(ConnectionAttack):
    """1,500 connections of one address that send nothing."""

    name = "silent_connections"
    count = 1_500


class HalfHeaders(ConnectionAttack):
    """1,500 connections of one address that send half of a header."""

    name = "half_headers"
    count = 1_500
    request = b"GET / HTTP/1.1\r\nHost: shop\r\nX-Half: "


class SmallHalfBodies(ConnectionAttack):
    """1,500 connections of one address that send half of a small body."""

    name = "small_half_bodies"
    count = 1_500
    request = (
        b"POST /users/api/v1/token/ HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n" + b'{"email": "nobody@shop.example'
    )


class SlowReaders(ConnectionAttack):
    """1,500 connections of one address that request a long list again and again, and read no answer."""

    name = "slow_readers"
    count = 1_500
    request = b"GET /products/api/v1/?page_size=100 HTTP/1.1\r\nHost: shop\r\n\r\n" * 20
    reads = False


class ManyAddresses(ConnectionAttack):
    """Silent connections of 600 addresses, ten of each."""

    name = "many_addresses"
    count = 6_000
    rate = 1_000.0
    addresses = 600


ATTACKS = (SilentConnections(), HalfHeaders(), SmallHalfBodies(), SlowReaders(), ManyAddresses())
