"""Reserves a port for a server that will listen on it."""

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from entrypoints.processes.errors import CannotRun


@frozen
class Address:
    """The host and port on which a server listens."""

    host: str
    port: int

    @property
    def reachable(self) -> str:
        """The host for clients on this machine; a loopback address if the server listens on all addresses."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
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
    """Reserve a port (0: any free one) for a server of this process or its children; raises CannotRun if it is taken.

    The server binds its listeners with SO_REUSEPORT, so two engines on one port would each get half of the requests,
    without an error. The socket here is bound without that option, which fails if any listener exists. It gets the
    option afterwards, so that the server can bind too.
    """
    with _bind(host, port) as holder:
        address = Address(host, holder.getsockname()[1])
        with _claim_address(address):
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            yield address


@contextmanager
def _claim_address(address: Address) -> Iterator[None]:
    """Exclude a second engine until this one listens, by a socket name that is free again when the process ends."""
    with socket.socket(socket.AF_UNIX) as claim:
        if sys.platform == "linux":  # abstract socket names exist on Linux only
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
        reason = error.strerror if isinstance(error, OSError) else "it is not a valid host name"
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
