"""Implements `adapters.cli.runtime.Runtime` on the production adapters.

Imports are inside the methods, so that a command loads only the modules that it needs and `--help` is fast.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from adapters.cli.failures import CommandFailed, ExitCode, Failure
from adapters.cli.runtime import DEFAULT_DATA, MigrationProgress, OpenMarket, Setting

if TYPE_CHECKING:
    from adapters.cli.torture_report import TortureOptions, TortureProgress, TortureReport
    from entrypoints.settings import Settings


class CommandRuntime:
    def up(self, *, host: str, port: int, data: Path, demo: bool, traffic: bool) -> None:
        from entrypoints.local.up import UpOptions, up

        up(UpOptions(host, port, data, demo, traffic))

    def serve(self, *, host: str, port: int, workers: int) -> None:
        from entrypoints import settings

        chosen = settings.load()
        from entrypoints.serve import serve

        serve(chosen, host, port, workers)

    def work(self) -> None:
        from entrypoints import settings

        chosen = settings.load()
        from entrypoints.worker import run_worker

        run_worker(chosen)

    def beat(self) -> None:
        from entrypoints import settings

        chosen = settings.load()
        from entrypoints.beat import run_beat

        run_beat(chosen)

    def torture(self, options: "TortureOptions", tell: "Callable[[TortureProgress], None]") -> "TortureReport":
        from entrypoints.torture.run import torture

        return torture(options, tell)

    def migrate(self, data: Path | None, on_progress: Callable[[MigrationProgress], None]) -> str:
        from adapters.db.migrate import Migration, current, upgrade

        def report(migration: Migration) -> None:
            on_progress(
                MigrationProgress(
                    f"{migration.revision} {migration.name}", migration.number, migration.total, migration.seconds
                )
            )

        url = _find_target(data).settings.database_url.reveal()
        upgrade(url, report)
        return current(url) or ""

    def settings(self) -> Iterable[Setting]:
        from entrypoints import settings

        return [Setting(variable, default, meaning) for variable, default, meaning in settings.describe_settings()]

    def load_policies(self, sources: Sequence[str]) -> None:
        from entrypoints.policies import PolicyNotLoaded, load, load_all
        from entrypoints.settings import SettingsError

        try:
            load_all(os.environ.get("PRICING_POLICIES", ""))
        except PolicyNotLoaded as error:
            raise SettingsError(f"PRICING_POLICIES: {error}.") from error
        try:
            for source in sources:
                load(source)
        except PolicyNotLoaded as error:
            raise CommandFailed(f"--load: {error}.", ExitCode.USAGE) from error

    @contextmanager
    def open(self, data: Path | None) -> Iterator[OpenMarket]:
        from adapters.db.migrate import check
        from entrypoints.wiring import wire

        found = _find_target(data)
        check(found.settings.database_url.reveal())
        engine = wire(found.settings)
        try:
            yield OpenMarket(
                engine.market, engine.passwords, found.place, found.embedded, engine.security_counters.read
            )
        finally:
            engine.close()

    def explain(self, error: Exception) -> Failure | None:
        from adapters.embedded.supervision import EmbeddedServerError
        from entrypoints.processes.errors import CannotRun, NotReachable
        from entrypoints.settings import SettingsError

        match error:
            case NotReachable():
                return Failure(str(error), ExitCode.NOT_REACHABLE)
            case CannotRun() | EmbeddedServerError():
                return Failure(str(error))
            case SettingsError():
                return Failure(f"{error}\n`scalecommerce settings` lists all settings.", ExitCode.USAGE)
            case _:
                return None


@frozen
class _Target:
    """The database that a command works on, and its description for messages."""

    settings: "Settings"
    place: str
    embedded: bool


def _find_target(data: Path | None) -> _Target:
    """Find the engine of the given directory, else of `DATABASE_URL`, else of the default directory.

    Raises NotReachable if no engine runs in the directory.
    """
    from entrypoints import settings
    from entrypoints.processes.data_directory import DataDirectory
    from entrypoints.processes.errors import NotReachable

    if data is None and os.environ.get("DATABASE_URL"):
        return _target_of_environment()
    directory = DataDirectory(data or DEFAULT_DATA)
    note = directory.running_engine()
    if note is None:
        raise NotReachable(
            f"No engine runs in {directory.path}: start `scalecommerce up`"
            f"{f' --data {data}' if data else ' here'}, or set DATABASE_URL."
        )
    if note.directory:
        from entrypoints.policies import add_search_directory

        add_search_directory(Path(note.directory))
    return _Target(
        settings.load({**os.environ, **note.settings}), f"the engine in {directory.path}", embedded=note.embedded
    )


def _target_of_environment() -> _Target:
    """Use the settings of the environment; commands need the database only, so other settings may be missing."""
    from entrypoints import settings

    unused = {"REDIS_URL": "redis://127.0.0.1:6379/0", "JWT_SECRET": secrets.token_urlsafe(48)}
    chosen = settings.load({**unused, **{name: text for name, text in os.environ.items() if text}})
    from adapters.db.migrate import describe_database

    return _Target(chosen, f"the database {describe_database(chosen.database_url.reveal())}", embedded=False)
