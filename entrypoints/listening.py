"""Taking a port for as long as a server may listen on it."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from entrypoints.failures import CannotRun


@frozen
class Address:
    """Where a server listens."""

    host: str
    port: int

    @property
    def reachable(self) -> str:
        """The host by which this machine reaches it, also if it listens on all addresses."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound

    @property
    def is_local(self) -> bool:
        """Whether nobody else can reach it."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    @property
    def url(self) -> str:
        return (
            f"http://[{self.reachable}]:{self.port}"
            if ":" in self.reachable
            else f"http://{self.reachable}:{self.port}"
        )


@contextmanager
def reserved(host: str, port: int) -> Iterator[Address]:
    """Hold the port (any free one for 0), so that only servers of this user that share ports can listen on it.

    The server binds each of its listeners with SO_REUSEPORT, so two engines on one port would silently halve each
    other's requests. A socket that was bound without the option notices every other listener, and keeps them off
    even while the API is being restarted; given the option afterwards, it lets our own server in.
    """
    with _bound(host, port) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield Address(host, holder.getsockname()[1])


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no host name"
        raise CannotRun(f"Cannot listen on {host}: {reason}.") from error
    holder = socket.socket(family, kind)
    try:
        # A port whose last connections linger in TIME_WAIT is free.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        holder.bind(address)
    except OSError as error:
        holder.close()
        if isinstance(error, PermissionError):
            raise CannotRun(f"Port {port} is for privileged users only: choose one above 1023 with --port.") from error
        if error.errno == errno.EADDRINUSE:
            raise CannotRun(
                f"Port {port} of {host} is taken by another program. Stop it, or choose another port with --port."
            ) from error
        raise CannotRun(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
    return holder
