"""The accepted TCP connections of this process, through /proc (Linux).

The HTTP server owns the sockets and shows them to nobody. Reading their state here needs no cooperation of the server;
a connection is closed by shutting it down, which the server sees as the end of the connection.
"""

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

_DESCRIPTORS: Final = "/proc/self/fd"
# struct tcp_info of <linux/tcp.h>: tcpi_unacked, tcpi_last_data_recv, tcpi_bytes_acked and tcpi_bytes_received,
# tcpi_notsent_bytes.
_TCP_INFO: Final = struct.Struct("=24x I 24x I 64x Q Q 8x I")


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
    """Sockets by inode, which identifies a socket while it exists; numbers of descriptors are used again at once."""

    def __init__(self) -> None:
        self._ports: frozenset[int] = frozenset()

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
        for name in _descriptors():
            with contextlib.suppress(OSError):  # the descriptor was closed meanwhile
                status = os.fstat(descriptor := int(name))
                if stat.S_ISSOCK(status.st_mode):
                    found[status.st_ino] = descriptor
        return found

    def find_ports(self, descriptors: dict[int, int]) -> bool:
        """Find the ports on which this process listens; whether there are any."""
        if not self._ports:
            ports = set()
            for inode, descriptor in descriptors.items():
                with contextlib.suppress(OSError), _borrowed(descriptor, inode) as connection:
                    if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        ports.add(connection.getsockname()[1])
            self._ports = frozenset(ports)
        return bool(self._ports)

    def peer(self, descriptor: int, inode: int) -> str | None:
        """The address of the client of an accepted connection; None for another socket."""
        with contextlib.suppress(OSError, IndexError), _borrowed(descriptor, inode) as connection:
            own = connection.getsockname()
            if isinstance(own, tuple) and own[1] in self._ports:
                return str(connection.getpeername()[0])
        return None

    def state(self, descriptor: int, inode: int) -> TcpState | None:
        """The state of a connection; None if it is closed."""
        with contextlib.suppress(OSError), _borrowed(descriptor, inode) as connection:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            unacknowledged, idle, acknowledged, received, unsent = _TCP_INFO.unpack(info)
            return TcpState(idle / 1000, received, unacknowledged + unsent, acknowledged)
        return None

    def shut_down(self, descriptor: int, inode: int) -> bool:
        """End a connection in both directions; whether it still existed."""
        with contextlib.suppress(OSError), _borrowed(descriptor, inode) as connection:
            connection.shutdown(socket.SHUT_RDWR)
            return True
        return False


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
