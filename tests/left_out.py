"""What the last run of the tests left out on this machine. `make test` prints it as its last lines."""

from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).parents[1] / ".cache/tests-left-out"


def note_left_out(file: Path, message: str) -> None:
    """Store one line for `make test`, in reverse video, in a file of `DIRECTORY`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"\033[1;7m {message} \033[0m\n")


def forget_left_out(file: Path) -> None:
    """Remove the line of an earlier run; call it before the tests decide whether they run."""
    file.unlink(missing_ok=True)
