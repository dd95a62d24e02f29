"""The HTTP API as a process: Granian, which drains on SIGTERM."""

import logging
import signal
from queue import SimpleQueue
from typing import Final

from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server
from starlette.applications import Starlette

from entrypoints import logs
from entrypoints.processes.parent_death import bind_forks_to_parent
from entrypoints.processes.port_reservation import reserve_port
from entrypoints.settings import Settings

APPLICATION: Final = "entrypoints.serve:create"
DRAIN_SECONDS: Final = 20
"""How long requests in flight may take to end after SIGTERM; orchestrators usually kill after 30."""

# Its records go where all others go, in the same format.
_LOGGERS: Final = {
    "handlers": {},
    "loggers": {
        "_granian": {"handlers": [], "propagate": True},
        "granian.access": {"handlers": [], "propagate": False},
    },
}


def create() -> Starlette:
    """The application, made in a process of the server; what goes wrong there is a line of the log."""
    try:
        from entrypoints import asgi

        return asgi.create()
    except Exception:
        logging.getLogger(__name__).critical("the API cannot start", exc_info=True)
        raise SystemExit(1) from None


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Take the port, or raise `CannotRun`; then serve until a signal ends it."""
    with reserve_port(host, port) as address:
        serve_on(settings, address.host, address.port, workers)


def serve_on(settings: Settings, host: str, port: int, workers: int, application: str = APPLICATION) -> None:
    """As `serve`, on a port that the caller or its parent has reserved. `application` names a factory."""
    server = Server(
        application,
        factory=True,
        interface=Interfaces.ASGI,
        address=host,
        port=port,
        workers=workers,
        loop=Loops.asyncio,
        http=HTTPModes.auto,
        websockets=False,
        log_level=LogLevels(settings.log_level.lower()),
        log_dictconfig=_LOGGERS,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_SECONDS,
    )
    server.main_loop_interrupt = _WakeUp()  # type: ignore[assignment]  # has what the loop uses of an event
    # Else a server that is killed leaves workers on its port, which go on answering.
    bind_forks_to_parent(signal.SIGTERM)
    # After the server's own configuration of logging, which it applies when it is made.
    logs.configure(settings, "api")
    logging.getLogger(__name__).info("the API listens on %s port %d", host, port)
    server.serve()


class _WakeUp:
    """In place of the `threading.Event` that wakes Granian's main loop.

    An event has a lock, and the signal handler that sets it may interrupt another that does, or the loop while it
    begins to wait: then it waits for ever. A `SimpleQueue` may be put to from anywhere. The loop looks at its own flags
    whenever it wakes up, so waking it once too often does no harm.
    """

    def __init__(self) -> None:
        self._set: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._set.put(None)

    def wait(self) -> None:
        self._set.get()

    def clear(self) -> None:
        """Waiting has taken it already."""
