"""The limits of the settings on the connections of one API process."""

import logging
from typing import Final

from adapters.http.framework.client_address import TrustedProxies, client_keys
from entrypoints.processes.connection_limiter import ConnectionLimiter, ConnectionLimiterThread, ConnectionLimits
from entrypoints.processes.process_sockets import ProcessSockets
from entrypoints.settings import Settings
from scalecommerce_core.domain.client_network import parse_address
from scalecommerce_core.ports.security import SecurityEvent, SecurityEventKind, SecurityLog

logger = logging.getLogger(__name__)

THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1"})
"""Addresses of a reverse proxy on the same machine."""
HANDLING_SECONDS: Final = 60.0
"""Time for the response to a request, without its body; requests wait at most 30 s for a decision."""


def build_connection_limiter(chosen: Settings, security_log: SecurityLog) -> ConnectionLimiterThread | None:
    """Build the thread that limits connections; None where the system does not show the sockets of a process."""
    sockets = ProcessSockets()
    if not sockets.is_supported():
        logger.warning("connections are not limited: this needs /proc, as Linux has it")
        return None
    proxies = TrustedProxies.parse(chosen.trusted_proxies)
    limits = ConnectionLimits(
        total=chosen.max_connections,
        per_address=chosen.max_connections_per_address,
        silent_seconds=chosen.header_seconds,
        response_seconds=chosen.response_seconds,
        idle_seconds=chosen.header_seconds + chosen.body_seconds + HANDLING_SECONDS if chosen.body_seconds else 0,
    )

    def record(limit: str, client: str) -> None:
        security_log.record(SecurityEvent(SecurityEventKind.LIMIT_REACHED, address=client, detail=limit))

    return ConnectionLimiterThread(
        ConnectionLimiter(
            limits,
            sockets,
            clients_of=client_keys,
            is_exempt=lambda address: has_no_limit(address, proxies),
            on_limit=record,
        )
    )


def has_no_limit(address: str, proxies: TrustedProxies) -> bool:
    """Whether the number of connections of an address is not limited: it is a trusted proxy, or on this machine."""
    # A server that listens on `::` sees a client on this machine as ::ffff:127.0.0.1.
    return str(parse_address(address)) in THIS_MACHINE or proxies.trusts(address, 0)
