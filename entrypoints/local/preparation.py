"""Migrates the database and creates the demo market in a process of its own, whose memory is free again afterwards.

`entrypoints.local.preparation_main` is the program. Over its standard input, a socket, it receives its task and sends
progress and the result.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from attrs import field, frozen

from entrypoints.processes.errors import CannotRun
from scalecommerce_core.domain.errors import Unavailable

if TYPE_CHECKING:
    from entrypoints.demo.banner import Demo


@frozen
class Status:
    """The progress for a status line. `line` is set if a message is also wanted where no status line can be shown."""

    status: str
    line: str | None = None


@frozen
class Migrated:
    """The database has the tables of this release. `settings` maps environment variables to the settings in force."""

    settings: Mapping[str, str] = field(repr=False)


@frozen
class Done:
    """The end; `demo` is None if no demo market was wanted, or if the database contains other data."""

    demo: "Demo | None"


@frozen
class Failed:
    """The database cannot be prepared; `is_reachable` is false if a server does not answer."""

    reason: str
    is_reachable: bool


class Preparation:
    """The process that prepares the database. It can be started before its task is known, and then loads its code."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        """Start the process; call this from the main thread only (see `die_with_parent`)."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "entrypoints.local.preparation_main", str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Ctrl-C reaches `up` alone, which then ends this process.
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())

    def run(
        self, settings: Mapping[str, str], *, demo: bool, report: Callable[[Status | Migrated], None]
    ) -> "Demo | None":
        """Migrate, then create the demo market if `demo` is set; `settings` are added to the environment.

        `report` is called with all progress. Raises CannotRun, or `Unavailable` if a server does not answer.
        """
        if self._connection is None:
            raise CannotRun("The process that prepares the database was not started.")
        try:
            message = _exchange(self._connection, (dict(settings), demo))
            while isinstance(message, Status | Migrated):
                report(message)
                message = _exchange(self._connection)
        finally:
            self.end()
        match message:
            case Done(found):
                return found
            case Failed(reason, is_reachable=False):
                raise Unavailable(reason)
            case Failed(reason):
                raise CannotRun(reason)
        raise TypeError(message)

    def end(self) -> None:
        """Kill the process if it still runs: PostgreSQL then rolls back what it has not committed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _exchange(connection: Connection, request: object = None) -> object:
    """Send a request, if there is one, and return the next message."""
    try:
        if request is not None:
            connection.send(request)
        return connection.recv()
    except (EOFError, OSError):
        raise CannotRun("The process that prepares the database has ended unexpectedly.") from None
