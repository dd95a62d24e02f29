"""The whole engine on one machine: servers, migrations, API, worker and beat, until a stop signal."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from attrs import frozen
from rich.console import Console

from adapters.embedded.postgres import EmbeddedPostgres
from entrypoints import settings
from entrypoints.demo import banner
from entrypoints.demo.banner import Demo
from entrypoints.demo.traffic.plan import TrafficPlan
from entrypoints.local.embedded_servers import Servers, restart_server, start_servers
from entrypoints.local.preparation import Migrated, Preparation, Status
from entrypoints.local.settings_check import check_settings
from entrypoints.processes.child_process import ChildProcess
from entrypoints.processes.data_directory import DataDirectory, EngineInfo
from entrypoints.processes.errors import CannotRun
from entrypoints.processes.fork_client import ForkServerClient
from entrypoints.processes.log_tail import LogErrorTail
from entrypoints.processes.port_reservation import reserve_port
from entrypoints.processes.readiness_probe import api_answers
from entrypoints.processes.shutdown_signals import StopRequested, raise_on_stop_signal
from scalecommerce_core.domain.text import printable

READY_SECONDS: Final = 120.0
SUPERVISION_SECONDS: Final = 0.5
"""Maximum interval of the checks of servers and logs; the exit of a forked process ends the wait earlier."""
READY_POLL_SECONDS: Final = 0.05
DRAIN_SECONDS: Final = 25.0
MAX_SERVER_RESTARTS: Final = 5
DEMO_TOKEN_SECONDS: Final = 3_600
"""The banner of a demo shows a token to paste, which must be valid longer than the default of ten minutes."""
DEMO_VIEW_CAPS: Final = (
    "VIEWS_PER_ADDRESS_AND_PRODUCT", "VIEWS_PER_ADDRESS", "VIEWS_PER_NETWORK_AND_PRODUCT", "VIEWS_PER_NETWORK",
)  # fmt: skip
"""Off in a demo with simulated visitors, who all have the address of this machine."""
STOPPING: Final = "Stopping after the requests and tasks in progress; Ctrl-C again stops at once …"
STOPPED: Final = "Stopped. The data stays in {data}."

_METRICS_PORTS: Final = {"api": 0, "worker": 1, "beat": 2}
"""What is added to `METRICS_PORT`, because all children have the addresses of one machine."""
_PLACEHOLDERS: Final = {
    "DATABASE_URL": "postgresql://embedded",
    "REDIS_URL": "redis://embedded",
    "JWT_SECRET": "*" * settings.MIN_SECRET_BYTES,
}
"""Placeholders for the settings that are generated later, so that all others can be checked at once."""


def _metrics_port(chosen: Mapping[str, str], child: str) -> dict[str, str]:
    port = int(chosen["METRICS_PORT"])
    return {"METRICS_PORT": str(port + _METRICS_PORTS[child])} if port else {}


@frozen
class UpOptions:
    """Options of `scalecommerce up`."""

    host: str
    port: int
    data: Path
    demo: bool
    traffic: bool = True
    """With `demo`: run simulated visitors, whose purchases make prices move."""


def up(options: UpOptions) -> None:
    """Run until a stop signal.

    Raises CannotRun, SettingsError, EmbeddedServerError or MarketError.
    """
    children: list[ChildProcess] = []
    fork_server = ForkServerClient(DataDirectory(options.data))
    errors = Console(highlight=False, soft_wrap=True, stderr=True)

    def kill_children() -> None:
        for child in children:
            child.send_sigkill()
        fork_server.kill()

    with suppress(StopRequested), raise_on_stop_signal(kill_children) as raise_if_stopped, ExitStack() as stack:
        try:
            LocalEngine(options, stack, children, fork_server, raise_if_stopped).run()
        except StopRequested:
            if not errors.is_terminal:  # a terminal shows this as a status line
                errors.print(STOPPING, markup=False)
            raise
    errors.print(STOPPED.format(data=options.data), markup=False)


class LocalEngine:
    def __init__(
        self,
        options: UpOptions,
        stack: ExitStack,
        children: list[ChildProcess],
        fork_server: ForkServerClient,
        raise_if_stopped: Callable[[], None],
    ) -> None:
        """`raise_if_stopped` raises `StopRequested` after a stop signal."""
        self._options = options
        self._stack = stack
        self._children = children
        self._fork_server = fork_server
        self._raise_if_stopped = raise_if_stopped
        self._data = DataDirectory(options.data)
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(highlight=False, soft_wrap=True, stderr=True)
        self._restarts = 0
        self._preparation = Preparation()

    def run(self) -> None:
        begun = time.monotonic()
        # Wrong settings are reported before anything is started.
        check_settings({**_PLACEHOLDERS, **{name: text for name, text in os.environ.items() if text}})
        self._stack.enter_context(self._data.lock_exclusively())
        self._address = self._stack.enter_context(reserve_port(self._options.host, self._options.port))
        with self._err.status("Starting PostgreSQL and Redis …") as status:
            servers = self._start_servers_and_children()
            child_settings = self._child_settings(servers)
            status.update("Bringing the database up to date …")

            def report(progress: Status | Migrated) -> None:
                if isinstance(progress, Status):
                    self._show(progress, status.update)
                    return
                status.update("Starting API, worker and beat …")
                for child in self._children:
                    if child.name != "api":
                        child.send_settings({**child_settings, **_metrics_port(progress.settings, child.name)})
                self._data.write_engine_info(self._engine_info(servers, progress.settings))

            demo = self._preparation.run(child_settings, demo=self._options.demo, report=report)
            self._start_api(child_settings, demo)
            self._wait_until_ready(servers)
            if demo is not None and demo.plan is not None and self._options.traffic:
                self._start_traffic(child_settings, demo.plan)
        self._print_banner(time.monotonic() - begun, demo)
        while True:
            self._supervise(servers)
            self._fork_server.wait_for_message(SUPERVISION_SECONDS)

    def _start_servers_and_children(self) -> Servers:
        """Start the servers and the child processes together, since each mostly waits."""
        servers = self._stack.enter_context(ExitStack())
        # The stack runs this before it stops the servers: children need them while they drain.
        self._stack.callback(self._fork_server.close)
        self._stack.callback(self._drain)
        for name, arguments in (("api", [self._address.host, str(self._address.port)]), ("worker", []), ("beat", [])):
            child = ChildProcess(self._fork_server, name, arguments, self._data.log_path(name))
            self._children.append(child)
            child.start()
        self._errors = LogErrorTail([child.log for child in self._children])
        self._stack.callback(self._preparation.end)
        self._preparation.start()
        return start_servers(
            servers,
            self._data.path,
            database_url=os.environ.get("DATABASE_URL"),
            redis_url=os.environ.get("REDIS_URL"),
        )

    def _start_api(self, child_settings: Mapping[str, str], demo: Demo | None) -> None:
        """The API process waited for the demo market, which its start page shows."""
        more = {} if demo is None else {"DEMO_MARKET": demo.to_pages().to_text()}
        for child in self._children:
            if child.name == "api":
                child.send_settings({**child_settings, **more})

    def _start_traffic(self, child_settings: Mapping[str, str], plan: TrafficPlan) -> None:
        where = [self._address.reachable, str(self._address.port)]
        arguments = [*where, plan.to_text()]
        visitors = ChildProcess(self._fork_server, "traffic", arguments, self._data.log_path("traffic"))
        self._children.append(visitors)
        visitors.start()
        visitors.send_settings(child_settings)

    def _child_settings(self, servers: Servers) -> dict[str, str]:
        """Settings that the children get in addition to the environment."""
        child_settings = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
        child_settings["JWT_SECRET"] = os.environ.get("JWT_SECRET") or self._data.token_secret()
        if self._options.demo:
            child_settings["ACCESS_TOKEN_SECONDS"] = os.environ.get("ACCESS_TOKEN_SECONDS") or str(DEMO_TOKEN_SECONDS)
            child_settings["MIN_EPOCH_SECONDS"] = os.environ.get("MIN_EPOCH_SECONDS") or "1"
            for name in DEMO_VIEW_CAPS if self._options.traffic else ():
                child_settings[name] = os.environ.get(name) or "0"
            child_settings["SHOP"] = os.environ.get("SHOP") or "true"
            child_settings["SMTP_URL"] = os.environ.get("SMTP_URL") or settings.EMAIL_CONSOLE
        return child_settings

    def _engine_info(self, servers: Servers, chosen: Mapping[str, str]) -> EngineInfo:
        return EngineInfo(
            url=self._address.url,
            embedded=any(isinstance(server, EmbeddedPostgres) for server in servers.embedded),
            settings=chosen,
            directory=str(Path.cwd()),
        )

    def _show(self, progress: Status, update: Callable[[str], None]) -> None:
        update(progress.status)
        # Without a terminal there is no status line.
        if progress.line is not None and not self._err.is_terminal:
            self._err.print(progress.line, markup=False)

    def _wait_until_ready(self, servers: Servers) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not (self._worker_is_ready and api_answers(self._address.reachable, self._address.port)):
            self._supervise(servers)
            if time.monotonic() > deadline:
                raise CannotRun(
                    f"API and worker did not answer within {READY_SECONDS:.0f} s."
                    f" Their logs are in {self._data.path}/logs."
                )
            time.sleep(READY_POLL_SECONDS)

    @property
    def _worker_is_ready(self) -> bool:
        return all(child.is_ready for child in self._children if child.name == "worker")

    def _supervise(self, servers: Servers) -> None:
        """Restart servers and children that have ended, and show new errors of the children."""
        self._raise_if_stopped()
        for server in servers.stopped_servers():
            self._restarts += 1
            if self._restarts > MAX_SERVER_RESTARTS:
                raise CannotRun(f"{server.name} has ended {self._restarts} times. Its log: {server.log}")
            self._warn(f"{server.name} has ended and is being restarted. Its log: {server.log}")
            restart_server(server)
        for child in self._children:
            if message := child.restart_if_dead():
                self._warn(message)
        for error in self._errors.read_new():
            self._warn(error)

    def _drain(self) -> None:
        """Stop the visitors first, then the API, then the worker, so that the worker can still decide all accepted
        orders.
        """
        groups = [
            [child for child in self._children if child.name == "traffic"],
            [child for child in self._children if child.name == "api"],
            [child for child in self._children if child.name not in {"traffic", "api"}],
        ]
        if all(child.pid is None for child in self._children):
            # The fork server still loads its code, so no process has begun its work.
            self._fork_server.kill()
        with self._err.status(STOPPING):
            for group in groups:
                for child in group:
                    child.terminate()
                for child in group:
                    child.wait_or_kill(DRAIN_SECONDS)

    def _warn(self, message: str) -> None:
        self._err.print(printable(message), style="yellow", markup=False)

    def _print_banner(self, seconds: float, demo: Demo | None) -> None:
        self._print(banner.ready_line(self._address.url, self._options.data, seconds))
        if self._options.demo and os.environ.get("SMTP_URL", "") in {"", settings.EMAIL_CONSOLE}:
            worker_log = self._data.log_path("worker").relative_to(self._data.path)
            self._print(banner.email_line(self._options.data / worker_log))
        if demo is not None:
            self._print(banner.order_instructions(demo, self._address.url))
            if demo.plan is None:
                if self._options.traffic:
                    self._warn(banner.NO_VISITORS)
            elif self._options.traffic:
                self._print(
                    banner.pricing_instructions(demo.plan, self._address.url, self._options.data, demo.currency)
                )
            if not self._address.is_local:
                self._warn(banner.exposure_warning(self._options.host))
        elif self._options.demo:
            self._warn(banner.NO_DEMO_MARKET)

    def _print(self, text: str) -> None:
        self._out.print(text, markup=False)
