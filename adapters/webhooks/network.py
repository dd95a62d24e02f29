"""Connects to checked addresses only. A host name is resolved once; the checked address is the one connected to."""

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

RESOLVER_THREADS: Final = 200
"""The system's resolver blocks its thread until a name server answers, which may last longer than the message's
timeout. Threads start when they are needed; there is one for each delivery that is sent at once."""
MAX_ADDRESSES: Final = 4
"""Addresses of one host that are tried."""


class SystemResolver:
    """The system's resolver in threads of its own, which a hanging name server may block."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses; raise `OSError` if the name cannot be resolved."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._executor, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [ip_address(address[0]) for *_, address in found]


class CheckedNetwork(AsyncNetworkBackend):
    """The network backend of one message; raises `UnsafeAddress` if any address of the host is not public.

    One private address among public ones is refused too: it is an attack or a configuration error. `loopback` allows
    loopback addresses.
    """

    def __init__(self, resolve: Resolve, network: AsyncNetworkBackend, *, loopback: bool) -> None:
        self._resolve = resolve
        self._network = network
        self._loopback = loopback

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of the base class
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
        path: str,  # noqa: ARG002 - the signature of the base class
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> AsyncNetworkStream:
        raise httpcore2.UnsupportedProtocol("Webhooks cannot be sent to Unix sockets.")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
