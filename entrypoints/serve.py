"""The HTTP API as a process: Granian, which finishes requests in flight on SIGTERM."""

import logging
import resource
import signal
from queue import SimpleQueue
from typing import Final

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server import Server
from starlette.types import ASGIApp

from adapters.http.framework.request_limits import HEADER_LIMIT
from adapters.metrics.series import Program
from entrypoints import logs
from entrypoints.gc_tuning import share_with_forks
from entrypoints.metrics import start_exporter
from entrypoints.processes.errors import CannotRun
from entrypoints.processes.parent_death import bind_forks_to_parent
from entrypoints.processes.port_reservation import reserve_port
from entrypoints.settings import Settings
from entrypoints.tracing import check_tracing
from entrypoints.wiring import database_figures

APPLICATION: Final = "entrypoints.serve:create"
DRAIN_SECONDS: Final = 20
"""Time for requests in flight after SIGTERM; orchestrators usually kill a process after 30 s."""

_HTTP2: Final = HTTP2Settings(
    # All header fields of a request; HPACK expands 8 kB to 16 MB.
    max_headers_size=HEADER_LIMIT,
    max_concurrent_streams=64,
    # Bytes of bodies that are received before the application reads them.
    initial_connection_window_size=256 * 1024,
    initial_stream_window_size=64 * 1024,
)

BACKLOG: Final = 4096
"""Connections that wait to be accepted; Linux reduces it to `net.core.somaxconn`."""
UNLIMITED_CONNECTIONS: Final = 60_000
"""Connections that one worker accepts without a limit in the settings."""
OTHER_DESCRIPTORS: Final = 500
"""Descriptors of one process besides the connections of clients."""

# Granian's records go to the handler of the root logger.
_LOGGERS: Final = {
    "handlers": {},
    "loggers": {
        "_granian": {"handlers": [], "propagate": True},
        "granian.access": {"handlers": [], "propagate": False},
    },
}


def create() -> ASGIApp:
    """Create the application in a process of the server; log an error and exit with status 1."""
    try:
        from entrypoints import asgi

        return asgi.create()
    except Exception:
        logging.getLogger(__name__).critical("the API cannot start", exc_info=True)
        raise SystemExit(1) from None


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Reserve the port and serve until a signal arrives; raises CannotRun if the port is taken."""
    with reserve_port(host, port) as address:
        serve_on(settings, address.host, address.port, workers)


def serve_on(settings: Settings, host: str, port: int, workers: int, application: str = APPLICATION) -> None:
    """Serve on a port that the caller or its parent has reserved; `application` is the import path of a factory."""
    if settings.metrics_port == port:
        raise CannotRun(f"METRICS_PORT {port} is the port of the API, which everybody reaches: choose another one.")
    check_tracing()
    server = Server(
        application,
        factory=True,
        interface=Interfaces.ASGI,
        address=host,
        port=port,
        workers=workers,
        loop=Loops.asyncio,
        http=HTTPModes.auto if settings.http2 else HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=settings.header_seconds * 1000, max_buffer_size=HEADER_LIMIT),
        http2_settings=_HTTP2,
        backlog=BACKLOG,
        # Connections that are accepted; the limiter closes those beyond its lower limits.
        backpressure=_raise_descriptor_limit(settings),
        websockets=False,
        log_level=LogLevels(settings.log_level.lower()),
        log_dictconfig=_LOGGERS,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_SECONDS,
    )
    server.main_loop_interrupt = _WakeUp()  # type: ignore[assignment]  # it has the methods that the loop calls
    # Without this, a killed server would leave workers that continue to answer on its port.
    bind_forks_to_parent(signal.SIGTERM)
    # After the constructor of the server, which applies its own logging configuration.
    logs.configure(settings, "api")
    start_exporter(settings, Program.API, database_figures)
    logging.getLogger(__name__).info("the API listens on %s port %d", host, port)
    share_with_forks()
    server.serve()


def _raise_descriptor_limit(settings: Settings) -> int:
    """Allow this process and its workers as many descriptors as they need; return the connections of one worker."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (2 * settings.max_connections or UNLIMITED_CONNECTIONS) + OTHER_DESCRIPTORS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        logging.getLogger(__name__).warning(
            "the limit of open files (%d) allows fewer connections than MAX_CONNECTIONS", hard
        )
    return max(1, allowed - OTHER_DESCRIPTORS)


class _WakeUp:
    """Replaces the `threading.Event` that wakes Granian's main loop, since an event can deadlock in signal handlers.

    An event has a lock. A signal handler that sets the event may interrupt another one that does, or the loop when it
    starts to wait, and then waits forever. `SimpleQueue.put` is reentrant. An additional wake-up is harmless, because
    the loop checks its flags each time.
    """

    def __init__(self) -> None:
        self._set: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._set.put(None)

    def wait(self) -> None:
        self._set.get()

    def clear(self) -> None:
        """Nothing to do: `wait` has removed the item."""
