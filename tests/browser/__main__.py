"""Finds or installs a browser, then runs the browser tests: `python -m tests.browser [options of pytest]`.

Without a browser the tests fail if `CI` is set. Elsewhere they are left out, and a file tells `make test`, which
prints it as its last line.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.browser.chromium import PATH_VARIABLE, BrowserNotUsable, Machine, ThisMachine, find_or_install, say
from tests.left_out import DIRECTORY, forget_left_out, note_left_out

ROOT: Final = Path(__file__).parents[2]
LEFT_OUT: Final = DIRECTORY / "browser"
"""Exists if the last run left the tests out; the Makefile prints it."""

HOW: Final = (
    "To get one, install Chromium or Google Chrome (Debian: apt-get install chromium), or set"
    f" {PATH_VARIABLE} to the path of one, then run: make browser"
)


def run(arguments: Sequence[str], machine: Machine, left_out: Path, pytest: Callable[[Sequence[str]], int]) -> int:
    """Return the exit status."""
    forget_left_out(left_out)
    try:
        program, reasons = find_or_install(machine)
    except BrowserNotUsable as error:
        say(str(error))
        return 2
    if program is not None:
        say(f"in {program}")
        return pytest(arguments)
    for reason in reasons:
        say(reason)
    if machine.environment.get("CI"):
        say(f"FAILED: no browser starts on this machine, and CI is set. {HOW}")
        return 1
    message = f"NOT TESTED: no browser starts on this machine, so the tests of the pages were left out. {HOW}"
    note_left_out(left_out, message)
    say(message)
    return 0


def _pytest(arguments: Sequence[str]) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", "tests/browser", *arguments], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], ThisMachine(), LEFT_OUT, _pytest))
