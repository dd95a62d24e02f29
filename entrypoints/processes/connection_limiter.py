"""Limits on the connections of one API process: in total, per address, and for clients that neither send nor read.

The HTTP server accepts every connection and limits none of this; a thread checks the sockets of the process from
outside. ADR 0040 compares the alternatives.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from attrs import define, frozen

from entrypoints.processes.process_sockets import TcpState, in_portions
from scalecommerce_core.domain.client_network import SITE_FACTOR

CHECK_SECONDS: Final = 0.2
"""Interval of the checks of the numbers of connections."""
STATE_SECONDS: Final = 2.0
"""Interval of the checks of each connection's progress."""
MIN_READ_RATE: Final = 1024
"""Bytes per second that a client must read of a response."""
LOG_SECONDS: Final = 10.0

logger = logging.getLogger(__name__)


@frozen
class ConnectionLimits:
    """Numbers of connections; 0 switches a limit off. Exempt addresses have no limits of number, and do not count.

    A client must send the first byte within `silent_seconds`, and then read at least `MIN_READ_RATE` of its responses
    in each period of `response_seconds`. A connection on which nothing happens for `idle_seconds` is closed: the
    server's own deadlines are shorter, but do not exist for HTTP/2. 0: any time.
    """

    total: int
    per_address: int
    silent_seconds: float
    response_seconds: float
    idle_seconds: float


@define
class Connection:
    """`clients` are the keys of the limits per address (`client_network.network_keys`), `opened` the time at which the
    connection was first seen. `pending_since` is the time since which a part of a response is not acknowledged;
    `acknowledged` are the bytes that were acknowledged then.
    """

    inode: int
    descriptor: int
    clients: tuple[str, ...]
    is_exempt: bool
    opened: float
    state: TcpState | None = None
    pending_since: float | None = None
    acknowledged: int = 0


class Sockets(Protocol):
    """`ProcessSockets`."""

    def count_descriptors(self) -> int: ...
    def list_sockets(self) -> dict[int, int]: ...
    def find_ports(self, descriptors: dict[int, int]) -> bool: ...
    def peer(self, descriptor: int) -> str | None: ...
    def state(self, descriptor: int) -> TcpState | None: ...
    def shut_down(self, descriptor: int, inode: int) -> bool: ...


PER_ADDRESS: Final = "connections per address"
TOTAL: Final = "connections in total"
SILENT: Final = "silent connections"
IDLE: Final = "idle connections"
SLOW_READER: Final = "responses that are not read"
OnLimit = Callable[[str, str], None]
"""Called with the name of a limit that acted and the client, at most once per client and `LOG_SECONDS`."""


class ConnectionLimiter:
    """Closes connections beyond the limits; its methods are for one thread."""

    def __init__(
        self,
        limits: ConnectionLimits,
        sockets: Sockets,
        *,
        clients_of: Callable[[str], tuple[str, ...]],
        is_exempt: Callable[[str], bool],
        on_limit: OnLimit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clients_of` returns the keys of an address, `is_exempt` whether an address has no limits of number."""
        self._limits = limits
        self._sockets = sockets
        self._clients_of = clients_of
        self._is_exempt = is_exempt
        self._on_limit = on_limit
        self._clock = clock
        self._connections: dict[int, Connection] = {}
        self._others: set[int] = set()
        """Inodes of sockets that are no connections of clients."""
        self._checked = self._logged = clock()
        self._descriptors = 0
        """The smallest number since the last full check, which is compared to find growth."""
        self._reported: set[tuple[str, str]] = set()
        self._closed: Counter[str] = Counter()

    def check(self) -> None:
        """Close what exceeds the limits."""
        now = self._clock()
        with_states = now - self._checked >= STATE_SECONDS
        descriptors = self._sockets.count_descriptors()
        if not with_states and not self._may_exceed(descriptors):
            self._descriptors = min(self._descriptors, descriptors)
            return
        if not self._refresh(now):
            return
        self._descriptors = descriptors
        if with_states:
            self._checked = now
            self._close_stalled(now)
        self._close_excess()
        if now - self._logged >= LOG_SECONDS:
            self._log(now)

    def _may_exceed(self, descriptors: int) -> bool:
        """Whether a limit may be exceeded that was not at the last check, so that many lasting connections cost
        little.
        """
        limits = [limit for limit in (self._limits.per_address, self._limits.total) if limit]
        return bool(limits) and descriptors > max(min(limits), self._descriptors + min(limits) // 4)

    def _refresh(self, now: float) -> bool:
        """Find new connections, and forget those that are closed; False before the server listens."""
        present = self._sockets.list_sockets()
        if not self._sockets.find_ports(present):
            return False
        self._connections = {inode: connection for inode, connection in self._connections.items() if inode in present}
        self._others &= present.keys()
        for inode, descriptor in in_portions(present.items()):
            if (known := self._connections.get(inode)) is not None:
                known.descriptor = descriptor
            elif inode not in self._others:
                address = self._sockets.peer(descriptor)
                if address is None:
                    self._others.add(inode)
                else:
                    self._connections[inode] = Connection(
                        inode, descriptor, self._clients_of(address), self._is_exempt(address), now
                    )
        return True

    # --- progress

    def _close_stalled(self, now: float) -> None:
        for connection in in_portions(list(self._connections.values())):
            state = connection.state = self._sockets.state(connection.descriptor)
            if state is None:
                del self._connections[connection.inode]
            elif not state.received:
                if 0 < self._limits.silent_seconds <= now - connection.opened:
                    self._close(connection, SILENT)
            elif self._is_slow_reader(connection, state, now):
                self._close(connection, SLOW_READER)
            elif not state.unsent and 0 < self._limits.idle_seconds <= state.idle:
                self._close(connection, IDLE)

    def _is_slow_reader(self, connection: Connection, state: TcpState, now: float) -> bool:
        if not state.unsent or not self._limits.response_seconds:
            connection.pending_since = None
            return False
        if connection.pending_since is None:
            connection.pending_since, connection.acknowledged = now, state.acknowledged
            return False
        elapsed = now - connection.pending_since
        if elapsed < self._limits.response_seconds:
            return False
        if state.acknowledged - connection.acknowledged < MIN_READ_RATE * elapsed:
            return True
        connection.pending_since, connection.acknowledged = now, state.acknowledged
        return False

    # --- numbers

    def _close_excess(self) -> None:
        limited = [connection for connection in self._connections.values() if not connection.is_exempt]
        if self._limits.per_address:
            limited = self._close_excess_of_clients(limited, 0, self._limits.per_address)
            limited = self._close_excess_of_clients(limited, 1, SITE_FACTOR * self._limits.per_address)
        if 0 < self._limits.total < len(limited):
            for connection in in_portions(self._most_idle(limited, len(limited) - self._limits.total)):
                self._close(connection, TOTAL)

    def _close_excess_of_clients(self, limited: list[Connection], level: int, most: int) -> list[Connection]:
        """Close what exceeds `most` connections of a key; return the others. `level` is an index of `clients`."""
        counts = Counter(connection.clients[level] for connection in limited if len(connection.clients) > level)
        exceeding = {client for client, count in counts.items() if count > most}
        for client in exceeding:
            own = [connection for connection in limited if connection.clients[level : level + 1] == (client,)]
            for connection in in_portions(self._most_idle(own, len(own) - most)):
                self._close(connection, PER_ADDRESS)
        return [connection for connection in limited if connection.inode in self._connections] if exceeding else limited

    def _most_idle(self, connections: Iterable[Connection], count: int) -> Sequence[Connection]:
        """Those that received data longest ago; a connection whose request is in progress may be among them."""
        by_idleness = []
        for connection in in_portions(connections):
            state = self._sockets.state(connection.descriptor)
            by_idleness.append((0.0 if state is None else state.idle, -connection.inode, connection))
        by_idleness.sort(key=lambda entry: entry[:2], reverse=True)
        return [connection for _, _, connection in by_idleness[:count]]

    def _close(self, connection: Connection, limit: str) -> None:
        self._connections.pop(connection.inode, None)
        if not self._sockets.shut_down(connection.descriptor, connection.inode):
            return
        self._closed[limit] += 1
        client = connection.clients[0]
        if (limit, client) not in self._reported and len(self._reported) < MAX_REPORTED:
            self._reported.add((limit, client))
            self._on_limit(limit, client)

    def _log(self, now: float) -> None:
        if self._closed:
            logger.warning("connections were closed", extra={"closed": dict(self._closed)})
        self._closed.clear()
        self._reported.clear()
        self._logged = now


MAX_REPORTED: Final = 100
"""Clients that are reported in `LOG_SECONDS`: an attack from many addresses must not fill the log."""


class ConnectionLimiterThread(threading.Thread):
    """Calls `check` until `stop`."""

    def __init__(self, limiter: ConnectionLimiter) -> None:
        super().__init__(name="connection-limiter", daemon=True)
        self._limiter = limiter
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            try:
                self._limiter.check()
            except Exception:
                # Without this thread the process serves everybody without limits, so it must go on.
                logger.exception("the connections could not be checked")
                self._stopped.wait(LOG_SECONDS)

    def stop(self) -> None:
        self._stopped.set()
        self.join()
