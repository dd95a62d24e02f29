"""The whole engine on one machine: servers, migrations, API, worker and beat, until somebody stops it."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Final

from attrs import frozen
from rich.console import Console

from adapters.embedded.postgres import EmbeddedPostgres
from entrypoints import settings
from entrypoints.demo import banner
from entrypoints.demo.banner import Demo
from entrypoints.demo.traffic.plan import Plan
from entrypoints.local.embedded_servers import Servers, restart, started
from entrypoints.processes.child_process import Child
from entrypoints.processes.data_directory import DataDirectory, EngineNote
from entrypoints.processes.errors import CannotRun
from entrypoints.processes.log_tail import LogErrors
from entrypoints.processes.port_reservation import reserved
from entrypoints.processes.readiness_probe import api_answers
from entrypoints.processes.shutdown_signals import Stopped, stop_signals
from entrypoints.settings import Settings

READY_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.1
DRAIN_SECONDS: Final = 25.0
MOST_RESTARTS: Final = 5
DEMO_TOKEN_SECONDS: Final = 86_400
"""A demo's token is there to be pasted, not only in the next ten minutes."""
STOPPING: Final = "Stopping: what is in hand is finished; Ctrl-C again ends at once …"
STOPPED: Final = "Stopped. The data stays in {data}."

_UNKNOWN_YET: Final = {
    "DATABASE_URL": "postgresql://embedded",
    "REDIS_URL": "redis://embedded",
    "JWT_SECRET": "*" * settings.MIN_SECRET_BYTES,
}
"""In place of the settings that this engine makes for itself, so that all others can be checked."""


@frozen
class Up:
    """What to run, and where."""

    host: str
    port: int
    data: Path
    demo: bool
    traffic: bool = True
    """With `demo`: visitors look and buy, and prices learn from it."""


def up(wanted: Up) -> None:
    """Run until a signal; raise `CannotRun`, `SettingsError`, `EmbeddedServerError` or `MarketError`."""
    children: list[Child] = []
    errors = Console(highlight=False, soft_wrap=True, stderr=True)

    def hurry() -> None:
        for child in children:
            child.end_at_once()

    with suppress(Stopped), stop_signals(hurry), ExitStack() as stack:
        try:
            _Engine(wanted, stack, children).run()
        except Stopped:
            if not errors.is_terminal:  # a terminal shows the same as a status line, while it lasts
                errors.print(STOPPING, markup=False)
            raise
    errors.print(STOPPED.format(data=wanted.data), markup=False)


class _Engine:
    def __init__(self, wanted: Up, stack: ExitStack, children: list[Child]) -> None:
        self._wanted = wanted
        self._stack = stack
        self._children = children
        self._data = DataDirectory(wanted.data)
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(highlight=False, soft_wrap=True, stderr=True)
        self._restarts = 0

    def run(self) -> None:
        begun = time.monotonic()
        # Whatever can be wrong at once is found before anything is started.
        settings.load({**_UNKNOWN_YET, **{name: text for name, text in os.environ.items() if text}})
        self._stack.enter_context(self._data.owned())
        self._address = self._stack.enter_context(reserved(self._wanted.host, self._wanted.port))
        with self._err.status("Starting PostgreSQL and Redis …") as status:
            servers = self._start_servers_and_children()
            given = self._settings(servers)
            chosen = settings.load({**os.environ, **given})
            status.update("Bringing the database up to date …")
            self._upgrade(servers.database_url, status.update)
            status.update("Starting API, worker and beat …")
            for child in self._children:
                child.begin(given)
            self._data.publish(self._note(servers, chosen))
            demo = self._prepare_demo(chosen, status.update) if self._wanted.demo else None
            self._wait_until_ready(servers)
            if demo is not None and demo.plan is not None and self._wanted.traffic:
                self._let_visitors_in(given, demo.plan)
        self._announce(time.monotonic() - begun, demo)
        while True:
            self._look_after(servers)
            time.sleep(LOOK_SECONDS)

    def _start_servers_and_children(self) -> Servers:
        """Each waits, mostly: the servers for disks, the children for servers; so they are started together."""
        servers = self._stack.enter_context(ExitStack())
        # Behind the servers on the stack: the children end while these still answer.
        self._stack.callback(self._drain)
        for name, arguments in (("api", [self._address.host, str(self._address.port)]), ("worker", []), ("beat", [])):
            child = Child(name, arguments, self._data.log(name))
            self._children.append(child)
            child.start()
        self._errors = LogErrors([child.log for child in self._children])
        for module in ("adapters.db.migrate", *(["entrypoints.demo.seed"] if self._wanted.demo else [])):
            threading.Thread(target=import_module, args=[module], daemon=True).start()
        return started(
            servers,
            self._data.path,
            database_url=os.environ.get("DATABASE_URL"),
            redis_url=os.environ.get("REDIS_URL"),
        )

    def _let_visitors_in(self, given: Mapping[str, str], plan: Plan) -> None:
        where = [self._address.reachable, str(self._address.port)]
        visitors = Child("traffic", [*where, plan.to_text()], self._data.log("traffic"))
        self._children.append(visitors)
        visitors.start()
        visitors.begin(given)

    def _settings(self, servers: Servers) -> dict[str, str]:
        """What the children get in addition to our environment."""
        given = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
        given["JWT_SECRET"] = os.environ.get("JWT_SECRET") or self._data.secret()
        if self._wanted.demo:
            given["ACCESS_TOKEN_SECONDS"] = os.environ.get("ACCESS_TOKEN_SECONDS") or str(DEMO_TOKEN_SECONDS)
        return given

    def _note(self, servers: Servers, chosen: Settings) -> EngineNote:
        return EngineNote(
            url=self._address.url,
            embedded=any(isinstance(server, EmbeddedPostgres) for server in servers.embedded),
            settings=settings.environment_of(chosen),
            directory=str(Path.cwd()),
        )

    def _upgrade(self, database_url: str, status: Callable[[str], None]) -> None:
        from adapters.db.migrate import Migration, upgrade
        from adapters.db.schema_version import release_revisions

        def told(migration: Migration) -> None:
            what = f"{migration.number} of {migration.total}: {migration.revision} {migration.name}"
            status(f"Bringing the database up to date: migration {what} …")
            # An empty database takes a second; one with data may take minutes, and not everybody has a terminal.
            if migration.total < len(release_revisions().known) and not self._err.is_terminal:
                is_done = migration.seconds is not None
                self._err.print(f"Migration {what} {f'({migration.seconds:.1f} s)' if is_done else '…'}", markup=False)

        upgrade(database_url, told)

    def _prepare_demo(self, chosen: Settings, status: Callable[[str], None]) -> Demo | None:
        def progress(step: str, done: int, total: int | None) -> None:
            status(f"Making a demo market: {step} {done:,}{f' of {total:,}' if total else ''} …")

        from entrypoints.demo.seed import prepared_demo

        return prepared_demo(chosen, progress)

    def _wait_until_ready(self, servers: Servers) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not (self._worker_is_ready and api_answers(self._address.reachable, self._address.port)):
            self._look_after(servers)
            if time.monotonic() > deadline:
                raise CannotRun(
                    f"API and worker did not answer within {READY_SECONDS:.0f} s."
                    f" Their logs are in {self._data.path}/logs."
                )
            time.sleep(LOOK_SECONDS / 2)

    @property
    def _worker_is_ready(self) -> bool:
        return all(child.is_ready for child in self._children if child.name == "worker")

    def _look_after(self, servers: Servers) -> None:
        """Start again what has ended, and show the errors of all."""
        for server in servers.ended():
            self._restarts += 1
            if self._restarts > MOST_RESTARTS:
                raise CannotRun(f"{server.name} has ended {self._restarts} times. Its log: {server.log}")
            self._tell(f"{server.name} has ended: starting it again. Its log: {server.log}")
            restart(server)
        for child in self._children:
            if told := child.mend():
                self._tell(told)
        for sentence in self._errors.new():
            self._tell(sentence)

    def _drain(self) -> None:
        """Visitors first; then the API, so that nobody is promised what the others do not do any more today."""
        by_turn = [
            [child for child in self._children if child.name == "traffic"],
            [child for child in self._children if child.name == "api"],
            [child for child in self._children if child.name not in {"traffic", "api"}],
        ]
        with self._err.status(STOPPING):
            for together in by_turn:
                for child in together:
                    child.finish()
                for child in together:
                    child.drained(DRAIN_SECONDS)

    def _tell(self, sentence: str) -> None:
        self._err.print(sentence, style="yellow", markup=False)

    def _announce(self, seconds: float, demo: Demo | None) -> None:
        self._say(banner.ready(self._address.url, self._wanted.data, seconds))
        if demo is not None:
            self._say(banner.how_to_play(demo, self._address.url))
            if demo.plan is None:
                if self._wanted.traffic:
                    self._tell(banner.NOT_ALONE)
            elif self._wanted.traffic:
                self._say(banner.what_to_watch(demo.plan, self._address.url, self._wanted.data, demo.currency))
            if not self._address.is_local:
                self._tell(banner.exposed(self._wanted.host))
        elif self._wanted.demo:
            self._tell(banner.NOT_EMPTY)

    def _say(self, text: str) -> None:
        self._out.print(text, markup=False)
