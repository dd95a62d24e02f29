"""The engine under test: embedded servers and the processes that `up` starts, with two API processes."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.redis import EmbeddedRedis
from entrypoints import settings
from entrypoints.local.embedded_servers import restart_server, start_servers
from entrypoints.processes.child_process import ChildProcess
from entrypoints.processes.data_directory import DataDirectory
from entrypoints.processes.fork_client import ForkServerClient
from entrypoints.processes.log_tail import LogErrorTail
from entrypoints.processes.port_reservation import Address, reserve_port
from entrypoints.settings import Settings
from entrypoints.torture.client_log import CURRENCY

APIS: Final = 2
RESTART_SECONDS: Final = 25.0
START_ATTEMPTS: Final = 5
EXPECTED_STATUSES: Final = frozenset({-signal.SIGKILL, 1})
"""Exit statuses of kills: that of SIGKILL, and 1, with which the HTTP server exits when its children are killed twice
within seconds."""
SHORT_DURATIONS: Final[Mapping[str, str]] = {
    "RESERVATION_SECONDS": "6",
    "PRICE_PROMISE_SECONDS": "10",
    "PAYMENT_SECONDS": "6",
    "MIN_EPOCH_SECONDS": "1",
    # The webhook receiver of the test is on this machine.
    "WEBHOOKS_ALLOW_LOOPBACK": "true",
    # All shoppers of the test share one client address.
    "SIGN_UPS_PER_ADDRESS": "0",
}
"""Defaults for the test, short enough that all of these durations expire while it runs."""

WORKERS_DECIDE: Final[Mapping[str, str]] = {"DECIDE_AT_INTAKE": "false"}
"""Setting of the last API process, so that orders are decided both at intake and by the worker."""


class EngineUnderTest:
    """Servers and processes of the test, which the stack stops at the end.

    Methods are for the main thread, unless their docstring says otherwise.
    """

    def __init__(self, data: DataDirectory, stack: ExitStack) -> None:
        self._data = data
        self._stack = stack
        self._restarts: dict[object, threading.Thread] = {}
        self._failed: list[Exception] = []
        self.children: list[ChildProcess] = []
        self._fork_server = ForkServerClient(data)
        self.armed = data.path / "fail-points"
        """Each file here names a fail-point at which the next process kills itself."""
        self.addresses: list[Address] = []

    def start(self) -> None:
        self.armed.mkdir()
        self.addresses = [self._stack.enter_context(reserve_port("127.0.0.1", 0)) for _ in range(APIS)]
        servers = self._stack.enter_context(ExitStack())
        # The stack runs this before it stops the servers.
        self._stack.callback(self._end)
        self.apis = [
            self._child("api", f"api-{number}", address.host, str(address.port))
            for number, address in enumerate(self.addresses, 1)
        ]
        self.worker = self._child("worker", "worker")
        self.beat = self._child("beat", "beat")
        self.errors = LogErrorTail([child.log for child in self.children])
        self.servers = start_servers(servers, self._data.path, database_url=None, redis_url=None)
        self.postgres, self.redis = self._embedded()
        self._given = {
            **{name: text for name, text in SHORT_DURATIONS.items() if not os.environ.get(name)},
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
            # The amounts of buyers and sellers are in cents.
            "MARKET_CURRENCY": CURRENCY,
            "JWT_SECRET": os.environ.get("JWT_SECRET") or self._data.token_secret(),
            "FAILPOINTS": ",".join(filter(None, [os.environ.get("FAILPOINTS"), f"arm={self.armed}"])),
        }
        self.settings: Settings = settings.load({**os.environ, **self._given})

    def begin(self) -> None:
        """Send the settings to the processes, which begin their work; the database must be migrated."""
        for child in self.children:
            child.send_settings({**self._given, **(WORKERS_DECIDE if child is self.apis[-1] else {})})

    def supervise(self) -> list[str]:
        """Restart processes and servers that have ended; return messages about these ends and about errors. Raise
        `CannotRun`.
        """
        for server in self.servers.stopped_servers():
            attempt = self._restarts.get(server)
            if attempt is None or not attempt.is_alive():
                # In a thread, because other processes are killed during the recovery.
                attempt = threading.Thread(target=self._restart, args=[server], daemon=True)
                self._restarts[server] = attempt
                attempt.start()
        if self._failed:
            raise self._failed[0]
        messages = [message for child in self.children if (message := child.restart_if_dead())]
        return [*messages, *self.errors.read_new()]

    @property
    def all_run(self) -> bool:
        """Whether all processes and servers run; callable from any thread."""
        return (
            not self.servers.stopped_servers()
            and not any(attempt.is_alive() for attempt in self._restarts.copy().values())
            and all(child.pid is not None for child in self.children)
            and self.worker.is_ready
        )

    def _restart(self, server: EmbeddedPostgres | EmbeddedRedis) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                restart_server(server)
            except Exception as error:  # noqa: BLE001 - the main thread raises the last one
                # The server may be killed during its recovery. A process between fork and exec also holds all locks
                # for a moment.
                if attempt == START_ATTEMPTS:
                    self._failed.append(error)
                time.sleep(0.2 * attempt)
            else:
                return

    def _embedded(self) -> tuple[EmbeddedPostgres, EmbeddedRedis]:
        postgres, redis = self.servers.embedded
        if not isinstance(postgres, EmbeddedPostgres) or not isinstance(redis, EmbeddedRedis):
            raise TypeError("both servers must be embedded, PostgreSQL first")
        return postgres, redis

    def _child(self, name: str, log: str, *arguments: str) -> ChildProcess:
        path = self._data.log_path(log)
        child = ChildProcess(self._fork_server, name, arguments, path, expected_statuses=EXPECTED_STATUSES)
        self.children.append(child)
        child.start()
        return child

    def _end(self) -> None:
        for attempt in self._restarts.values():
            attempt.join(RESTART_SECONDS)
        # The checks are done, so the processes need not finish their work.
        for child in self.children:
            child.kill()
        self._fork_server.close()


def children_of(pid: int) -> Iterator[tuple[int, str]]:
    """Yield (process id, command line) of the children of a process; nothing where there is no /proc."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            numbers = [int(number) for number in listed.read_text().split()]
        except OSError:  # the process has ended
            return
        for number in numbers:
            try:
                command = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            yield number, command.strip()
