"""The command line over an engine in memory, without a process, a file or a terminal."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.cli import administration, seeding, stock, users
from adapters.cli.app import app
from adapters.cli.failures import ExitCode, Failure
from adapters.cli.runtime import MigrationProgress, OpenMarket, Setting
from adapters.cli.torture_report import Checked, Settling, TortureOptions, TortureProgress, TortureReport
from entrypoints.runtime import CommandRuntime
from scalecommerce_core.services.seeding import PLAIN
from scalecommerce_core.testing import PlainPasswords, SettableClock, in_memory_market
from tests.unit.support.command_tree import command_tree


class ServerAway(Exception):
    """An error that `MemoryRuntime` raises and the commands do not handle."""


class MemoryRuntime:
    """`adapters.cli.runtime.Runtime` in memory; records the processes that it would run."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.market = in_memory_market(self.clock)
        self.embedded = True
        self.fails_with: BaseException | None = None
        self.ran: list[tuple[str, dict[str, Any]]] = []
        self.opened: list[Path | None] = []
        self.tortured_to: Sequence[Checked] = [Checked("nothing is lost", 10, 0)]
        self.interrupted = False

    def up(self, *, host: str, port: int, data: Path, demo: bool, traffic: bool) -> None:
        self._run("up", host=host, port=port, data=data, demo=demo, traffic=traffic)

    def serve(self, *, host: str, port: int, workers: int) -> None:
        self._run("serve", host=host, port=port, workers=workers)

    def work(self) -> None:
        self._run("worker")

    def beat(self) -> None:
        self._run("beat")

    def torture(self, options: TortureOptions, tell: Callable[[TortureProgress], None]) -> TortureReport:
        self._run("torture", options=options)
        tell(TortureProgress("Load and kills", 1.0, 5, 2))
        holds = all(checked.holds for checked in self.tortured_to)
        return TortureReport(
            options=options,
            seconds=3.0,
            done={"orders acknowledged": 5},
            kills={"beat": 2},
            fail_points_reached=1,
            fail_points_not_reached=["policies.add:before"],
            settling=Settling(1, 1.5, 2.0, "beat", 0.1),
            invariants=self.tortured_to,
            interrupted=self.interrupted,
            kept=None if holds else Path("/tmp/kept"),  # noqa: S108 - named only
        )

    def migrate(self, data: Path | None, tell: Callable[[MigrationProgress], None]) -> str:
        self._run("migrate", data=data)
        for seconds in (None, 1.25):
            tell(MigrationProgress("0045 recent stockouts", 1, 1, seconds))
        return "0045"

    def settings(self) -> Iterable[Setting]:
        return [Setting("DATABASE_URL", "", "Where."), Setting("LOG_LEVEL", "INFO", "How much.")]

    def load_policies(self, sources: Sequence[str]) -> None:
        CommandRuntime().load_policies(sources)

    @contextmanager
    def open(self, data: Path | None) -> Iterator[OpenMarket]:
        self.opened.append(data)
        if self.fails_with is not None:
            raise self.fails_with
        place = "the database shop on db.example"
        yield OpenMarket(self.market, PlainPasswords(), place, self.embedded, self.security_events)

    def security_events(self, days: int) -> dict[date, dict[str, int]]:
        counts = {date(2026, 3, 1): {"log_in_failed": 12, "log_in": 3}, date(2026, 3, 2): {"access_refused": 1}}
        return dict(sorted(counts.items(), reverse=True)[:days])

    def explain(self, error: Exception) -> Failure | None:
        return Failure(f"Away: {error}", ExitCode.NOT_REACHABLE) if isinstance(error, ServerAway) else None

    def _run(self, what: str, **options: Any) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.ran.append((what, options))


class Cli:
    """`cli("stock", "verify")`: exit code, standard output and error as a terminal of `width` columns shows them."""

    def __init__(self, runtime: MemoryRuntime) -> None:
        self.runtime = runtime

    def __call__(self, *arguments: str, stdin: str = "", width: int = 120) -> "Ended":
        result = CliRunner(env={"COLUMNS": str(width), "TERM": "dumb", "NO_COLOR": "1"}).invoke(
            app, arguments, input=stdin, obj=self.runtime, prog_name="scalecommerce"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)


class Ended:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n--- standard error\n{self.err}"


@pytest.fixture(autouse=True)
def command_tree_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.testing._get_command", lambda _app: command_tree())


@pytest.fixture
def runtime() -> MemoryRuntime:
    return MemoryRuntime()


@pytest.fixture
def cli(runtime: MemoryRuntime, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr("adapters.cli.vocabulary.vocabulary", lambda _rng_seed: PLAIN)  # Faker is slow
    return Cli(runtime)


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that makes the terminal interactive, so that commands ask questions."""

    def sit_down() -> None:
        for module in (administration, seeding, stock, users):
            monkeypatch.setattr(module, "interactive", lambda: True)

    return sit_down
