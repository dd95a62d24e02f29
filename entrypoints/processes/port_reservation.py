"""Taking a port for as long as a server may listen on it."""

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from entrypoints.processes.errors import CannotRun


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
def reserve_port(host: str, port: int) -> Iterator[Address]:
    """See that nobody listens on the port (any free one for 0), and keep it for a server of ours.

    The server binds its listeners with SO_REUSEPORT, so two engines on one port would silently halve each other's
    requests. The socket that is held here was bound without that option, so it has noticed every listener; it gets
    the option afterwards, to let our own server in.
    """
    with _bind(host, port) as holder:
        address = Address(host, holder.getsockname()[1])
        with _claim_address(address):
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            yield address


@contextmanager
def _claim_address(address: Address) -> Iterator[None]:
    """Keep a second engine off while this one does not listen yet: a name that is free again when the process ends."""
    with socket.socket(socket.AF_UNIX) as claim:
        if sys.platform == "linux":  # which alone has sockets with names outside the file system
            try:
                claim.bind(f"\0scalecommerce listens on {address.host} {address.port}")
            except OSError as error:
                raise _port_taken(address.host, address.port) from error
        yield


def _port_taken(host: str, port: int) -> CannotRun:
    return CannotRun(f"Port {port} of {host} is taken by another program. Stop it, or choose another port with --port.")


def _bind(host: str, port: int) -> socket.socket:
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
            raise _port_taken(host, port) from error
        raise CannotRun(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
    return holder
