"""The interface between commands and `entrypoints`, which passes a `Runtime` as the context object."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from adapters.cli.failures import Failure

if TYPE_CHECKING:
    # Every command imports this module, and these import numpy.
    from adapters.cli.torture_report import TortureOptions, TortureProgress, TortureReport
    from scalecommerce_core.ports import Passwords
    from scalecommerce_core.services.market import Market


@frozen
class OpenMarket:
    """The engine on the database that a command uses."""

    market: "Market"
    passwords: "Passwords"
    place: str
    """Location of the database for messages, without its password."""
    embedded: bool
    """Whether the database belongs to `scalecommerce up` on this machine."""
    count_security_events: Callable[[int], Mapping[date, Mapping[str, int]]]
    """Returns the number of security events by kind for each of the last days; raises `Unavailable`."""


@frozen
class Setting:
    variable: str
    default: str
    meaning: str


@frozen
class MigrationProgress:
    """Start (`seconds` is None) or end of a migration, `number` of `total` missing ones."""

    name: str
    number: int
    total: int
    seconds: float | None

    @property
    def sentence(self) -> str:
        """A sentence for logs, and for terminals without progress bars."""
        what = f"migration {self.number} of {self.total}"
        if self.seconds is None:
            return f"{what} started: {self.name}"
        return f"{what} done in {self.seconds:.1f} s: {self.name}"


class Runtime(Protocol):
    """`data` is the directory of a running engine; None: the database of DATABASE_URL, else the default directory."""

    def up(self, *, host: str, port: int, data: Path, demo: bool, traffic: bool) -> None:
        """Run the whole engine until a signal; with `demo` and `traffic`, also simulated visitors."""
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

    def torture(self, options: "TortureOptions", tell: "Callable[[TortureProgress], None]") -> "TortureReport":
        """Run the self-test on its own processes and data; `tell` is called with its progress."""
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
        """Convert an error of the runtime to a failure; None for unexpected errors."""
        ...


DEFAULT_DATA = Path(".scalecommerce")
