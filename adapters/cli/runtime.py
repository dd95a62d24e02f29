"""What the commands need from the processes they run in; `entrypoints` brings it as the context object."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from attrs import frozen

from adapters.cli.failures import Failure
from adapters.cli.torture_report import TortureOptions, TortureProgress, TortureReport
from scalecommerce_core.ports import Passwords
from scalecommerce_core.services.market import Market


@frozen
class OpenMarket:
    """The engine on the database that a command works on."""

    market: Market
    passwords: Passwords
    place: str
    """Where the database is, for people; without its password."""
    embedded: bool
    """Whether it belongs to `scalecommerce up`, on this machine."""


@frozen
class Setting:
    variable: str
    default: str
    meaning: str


@frozen
class MigrationProgress:
    """A migration that begins (`seconds` is None) or is done, `number` of the `total` that were missing."""

    name: str
    number: int
    total: int
    seconds: float | None

    @property
    def sentence(self) -> str:
        """For logs, and for terminals without progress bars."""
        what = f"migration {self.number} of {self.total}"
        if self.seconds is None:
            return f"{what} begins: {self.name}"
        return f"{what} done in {self.seconds:.1f} s: {self.name}"


class Runtime(Protocol):
    """`data` names the directory of a running engine; None: the environment's database, else the usual directory."""

    def up(self, *, host: str, port: int, data: Path, demo: bool, traffic: bool) -> None:
        """Run the whole engine until a signal; with `demo` and `traffic`, also visitors who look and buy."""
        ...

    def serve(self, *, host: str, port: int, workers: int) -> None:
        """Serve HTTP until a signal."""
        ...

    def work(self) -> None:
        """Run background tasks until a signal."""
        ...

    def beat(self) -> None:
        """Send scheduled messages until a signal."""
        ...

    def torture(self, options: TortureOptions, tell: Callable[[TortureProgress], None]) -> TortureReport:
        """Test the engine on processes and data of its own."""
        ...

    def migrate(self, data: Path | None, on_progress: Callable[[MigrationProgress], None]) -> str:
        """Migrate the database and return its revision. `on_progress` is called before and after each migration."""
        ...

    def settings(self) -> Iterable[Setting]: ...

    def load_policies(self, sources: Sequence[str]) -> None:
        """Register the pricing policies of installed packages, of `PRICING_POLICIES`, and of these modules or files."""
        ...

    def open(self, data: Path | None) -> AbstractContextManager[OpenMarket]:
        """Connect to a database with the tables of this release."""
        ...

    def explain(self, error: Exception) -> Failure | None:
        """What went wrong behind this protocol; None: that should not happen."""
        ...


DEFAULT_DATA = Path(".scalecommerce")
