"""The checkout whose engine is measured: this one, or another, such as the release to compare with.

The benchmark, its data and its load always come from this checkout, so that two engines are measured alike.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from attrs import frozen

from adapters.db.core.engine import database_engine
from adapters.embedded import launch

ROOT: Final = Path(__file__).parents[2]
MIGRATIONS: Final = Path("adapters/db/migrations")
# The parent-death signal comes from this checkout, the engine from the one to which the interpreter belongs.
_COMMAND: Final = f"""
import runpy, sys
runpy.run_path({launch.__file__!r})["die_with_parent"](int(sys.argv.pop(1)), {int(signal.SIGKILL)})
runpy.run_module("entrypoints.cli", run_name="__main__", alter_sys=True)
"""


class CheckoutUnusable(Exception):
    """The directory is not a checkout with an environment; the message says what is missing."""


@frozen
class Checkout:
    """A checkout of this project at `root`, with the environment that `make .venv/.ready` builds there."""

    root: Path = ROOT

    def check(self) -> None:
        """Raise `CheckoutUnusable` unless the engine can be started from here."""
        if not (self.root / MIGRATIONS).is_dir():
            raise CheckoutUnusable(f"{self.root} is not a checkout of ScaleCommerce.")
        if not Path(self.python).exists():
            raise CheckoutUnusable(f"{self.root} has no environment: run `make .venv/.ready` there.")

    @property
    def python(self) -> str:
        return sys.executable if self.root == ROOT else str(self.root / ".venv/bin/python")

    @property
    def revision(self) -> str:
        """The database revision of this checkout, from the file name of its newest migration."""
        return max(path.name for path in (self.root / MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]

    @property
    def version(self) -> str:
        """The version as `git describe` names it, for the report."""
        done = subprocess.run(
            ["git", "-C", str(self.root), "describe", "--tags", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or "unknown"

    def command(self, *words: str) -> list[str]:
        """The command line of `scalecommerce WORDS` of this checkout; the process dies with the benchmark."""
        return [self.python, "-P", "-c", _COMMAND, str(os.getpid()), *words]

    def migrate(self, url: str) -> None:
        """Upgrade or downgrade a database that this benchmark has seeded to the revision of the checkout."""
        config = Config()
        config.set_main_option("script_location", str(ROOT / MIGRATIONS).replace("%", "%%"))
        engine = database_engine(url, statement_timeout=None)
        try:
            for change in (command.upgrade, command.downgrade):
                with engine.connect() as connection:
                    config.attributes["connection"] = connection
                    change(config, self.revision)
                    connection.commit()
        finally:
            engine.dispose()


THIS: Final = Checkout()


def environment() -> dict[str, str]:
    """The environment for an engine's processes: without PYTHONPATH, which would mix two checkouts."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
