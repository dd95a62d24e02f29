"""Connections to checked addresses only: the name is resolved once, and what was checked is what is connected to."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

import httpcore2
from httpcore2 import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from scalecommerce_core.domain.web_address import Address, check_address

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

RESOLVER_THREADS: Final = 16
"""Threads: the system's resolver blocks, for as long as name servers are silent."""
MAX_ADDRESSES: Final = 4
"""A host that has more is tried at the first of them."""


class SystemResolver:
    """Asks the system, in threads of its own: a name server that hangs holds up nothing else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """Raise `OSError` for a name that nobody knows."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [ip_address(address[0]) for *_, address in found]


class CheckedNetwork(AsyncNetworkBackend):
    """For one message. Raises `UnsafeAddress` if any address of the host is not what it should be.

    Any, not all: a name with a public and a private address is an attack, or a mistake that should be noticed.
    """

    def __init__(self, resolve: Resolve, network: AsyncNetworkBackend, *, loopback: bool) -> None:
        self._resolve = resolve
        self._network = network
        self._loopback = loopback

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the protocol's
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        try:
            addresses = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved") from error
        for address in addresses:
            check_address(address, loopback=self._loopback)
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002 - as the protocol has it
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> AsyncNetworkStream:
        raise httpcore2.UnsupportedProtocol("No webhook goes to a socket of this machine.")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
