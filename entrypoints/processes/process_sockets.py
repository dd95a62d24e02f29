"""The accepted TCP connections of this process, through /proc and system calls (Linux).

The HTTP server owns the sockets and shows them to nobody. Reading their state here needs no cooperation of the server;
a connection is closed by shutting it down, which the server sees as the end of the connection.

The functions of `os` and `socket` release the interpreter lock around each system call. A scan makes thousands of short
calls, and each release would interrupt the event loop, so the calls that only read are made through `ctypes.PyDLL`,
which keeps the lock. Scans pause every `PORTION` sockets, so that the event loop waits for a fraction of a millisecond.
"""

import contextlib
import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from attrs import frozen

T = TypeVar("T")

_DESCRIPTORS: Final = "/proc/self/fd"
_PREFIX: Final = b"socket:["
# struct tcp_info of <linux/tcp.h>: tcpi_unacked, tcpi_last_data_recv, tcpi_bytes_acked and tcpi_bytes_received,
# tcpi_notsent_bytes.
_TCP_INFO: Final = struct.Struct("=24x I 24x I 64x Q Q 8x I")
PORTION: Final = 64
"""Sockets between two pauses of a scan."""
PAUSE_SECONDS: Final = 0.00005
"""Long enough for another thread to get the interpreter lock."""
_BUFFER_SIZE: Final = 256
"""Enough for a link, an address or `struct tcp_info`."""


@frozen
class TcpState:
    """`idle` is the number of seconds since data arrived; the others are bytes.

    `unsent` is the size of the part of responses that the client has not acknowledged, in bytes or packets, so only 0
    has an exact meaning; `acknowledged` is the number of bytes that it has.
    """

    idle: float
    received: int
    unsent: int
    acknowledged: int


class ProcessSockets:
    """Sockets by inode, which identifies a socket while it exists; numbers of descriptors are used again at once.

    For one thread.
    """

    def __init__(self) -> None:
        self._ports: frozenset[int] = frozenset()
        self._system = ctypes.PyDLL(None)
        self._buffer = ctypes.create_string_buffer(_BUFFER_SIZE)
        self._length = ctypes.c_uint32()

    @staticmethod
    def is_supported() -> bool:
        """Whether the system has what the methods need."""
        return Path(_DESCRIPTORS).is_dir() and hasattr(socket, "TCP_INFO")

    def count_descriptors(self) -> int:
        """The number of open descriptors, an upper bound of the number of connections that costs little."""
        return len(_descriptors())

    def list_sockets(self) -> dict[int, int]:
        """The descriptors of all sockets by inode."""
        found = {}
        for name in in_portions(_descriptors()):
            length = self._system.readlink(f"{_DESCRIPTORS}/{name}".encode(), self._buffer, _BUFFER_SIZE)
            # A negative length is an error: the descriptor was closed meanwhile.
            link = self._buffer.raw[: max(0, length)]
            if link.startswith(_PREFIX):
                found[int(link[len(_PREFIX) : -1])] = int(name)
        return found

    def find_ports(self, descriptors: dict[int, int]) -> bool:
        """Find the ports on which this process listens; whether there are any."""
        if not self._ports:
            self._ports = frozenset(
                own[1]
                for descriptor in descriptors.values()
                if self._is_listening(descriptor) and (own := self._address(self._system.getsockname, descriptor))
            )
        return bool(self._ports)

    def peer(self, descriptor: int) -> str | None:
        """The address of the client of an accepted connection; None for another socket."""
        own = self._address(self._system.getsockname, descriptor)
        if own is None or own[1] not in self._ports:
            return None
        client = self._address(self._system.getpeername, descriptor)
        return None if client is None else client[0]

    def state(self, descriptor: int) -> TcpState | None:
        """The state of a connection; None if it is closed."""
        info = self._option(descriptor, socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        if info is None:
            return None
        unacknowledged, idle, acknowledged, received, unsent = _TCP_INFO.unpack(info)
        return TcpState(idle / 1000, received, unacknowledged + unsent, acknowledged)

    def shut_down(self, descriptor: int, inode: int) -> bool:
        """End a connection in both directions; whether it still existed."""
        with contextlib.suppress(OSError), _borrowed(descriptor, inode) as connection:
            connection.shutdown(socket.SHUT_RDWR)
            return True
        return False

    def _is_listening(self, descriptor: int) -> bool:
        value = self._option(descriptor, socket.SOL_SOCKET, socket.SO_ACCEPTCONN, 4)
        return value is not None and value != bytes(4)

    def _option(self, descriptor: int, level: int, name: int, size: int) -> bytes | None:
        """The value of an option, of at least `size` bytes; None if there is none."""
        self._length.value = _BUFFER_SIZE
        failed = self._system.getsockopt(descriptor, level, name, self._buffer, ctypes.byref(self._length))
        return None if failed or self._length.value < size else self._buffer.raw[:size]

    def _address(self, read: "ctypes._NamedFuncPointer", descriptor: int) -> tuple[str, int] | None:
        """The address and port of one end of a socket; None if it has no Internet address."""
        self._length.value = _BUFFER_SIZE
        if read(descriptor, self._buffer, ctypes.byref(self._length)):
            return None
        address = self._buffer.raw
        (family,) = struct.unpack_from("=H", address)
        port = int.from_bytes(address[2:4], "big")
        if family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, address[4:8]), port
        if family == socket.AF_INET6:
            return socket.inet_ntop(socket.AF_INET6, address[8:24]), port
        return None


def in_portions(items: Iterable[T]) -> Iterator[T]:
    """The items, with pauses for the other threads of the process."""
    for number, item in enumerate(items, 1):
        yield item
        if number % PORTION == 0:
            time.sleep(PAUSE_SECONDS)


def _descriptors() -> list[str]:
    return os.listdir(_DESCRIPTORS)  # noqa: PTH208 - paths would cost more than the system call


@contextmanager
def _borrowed(descriptor: int, inode: int) -> Iterator[socket.socket]:
    """The socket behind a descriptor of the server; raise `OSError` if the descriptor has another one by now.

    A duplicate of the descriptor keeps the socket until the end of the block, so that nothing can take its place.
    """
    duplicate = os.dup(descriptor)
    if os.fstat(duplicate).st_ino != inode:
        os.close(duplicate)
        raise OSError("the descriptor was closed and used again")
    # The family is not that of each socket; it matters for new addresses only, which are never passed.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=duplicate) as borrowed:
        yield borrowed
