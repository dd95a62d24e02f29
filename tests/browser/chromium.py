"""Finds a Chromium or Google Chrome that starts, and installs one where none does."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen
from playwright.sync_api import Browser, Playwright, sync_playwright
from playwright.sync_api import Error as PlaywrightError

PATH_VARIABLE: Final = "CHROME_PATH"
COMMANDS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_PROGRAMS: Final = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)

START_SECONDS: Final = 30.0
"""After this time a browser that has not started is given up."""

FLAGS: Final = (
    # Servers and containers have no graphics card; without this flag Chromium looks for one first.
    "--disable-gpu",
    "--disable-lcd-text",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--no-pings",
)


@frozen
class Program:
    """A browser on this machine, or Playwright's own build if there is no path."""

    path: str | None
    sandboxed: bool = True

    def __str__(self) -> str:
        return f"{self.path or 'the Chromium of Playwright'}{'' if self.sandboxed else ' without its sandbox'}"


@frozen
class Installer:
    """A command that installs a browser, with the longest time it may take."""

    what: str
    commands: tuple[tuple[str, ...], ...]
    seconds: float


class Machine(Protocol):
    """What the search asks of the machine."""

    @property
    def environment(self) -> Mapping[str, str]: ...

    @property
    def is_root(self) -> bool: ...

    @property
    def is_debian(self) -> bool:
        """Whether the system is Debian itself, not one that is derived from it."""

    def which(self, name: str) -> str | None:
        """Return the path of an executable: of a name on PATH, or the path itself."""

    def why_not(self, program: Program) -> str:
        """Start the browser and end it. Return why it does not start; nothing if it does."""

    def succeeds(self, command: Sequence[str], seconds: float) -> bool:
        """Run a command, whose output is shown, for at most this time."""


class BrowserNotUsable(Exception):
    """CHROME_PATH names something that does not start."""


def find(machine: Machine) -> tuple[Program | None, list[str]]:
    """Return the first browser that starts, and why those before it do not.

    Raises BrowserNotUsable.
    """
    reasons: list[str] = []
    for program in _programs(machine):
        if not (reason := machine.why_not(program)):
            return program, reasons
        reasons.append(f"{program}: {reason}")
    if chosen := machine.environment.get(PATH_VARIABLE):
        raise BrowserNotUsable(
            f"{PATH_VARIABLE} is {chosen}, which does not start as a browser. Name a Chromium or Google Chrome, or"
            f" unset {PATH_VARIABLE}.\n  " + "\n  ".join(reasons)
        )
    return None, reasons


def find_or_install(machine: Machine) -> tuple[Program | None, list[str]]:
    """Return a browser that starts, installed if necessary, and why others do not.

    Raises BrowserNotUsable.
    """
    program, reasons = find(machine)
    if program is not None:
        return program, reasons
    for installer in installers(machine):
        say(f"No browser starts; installing {installer.what} (at most {installer.seconds:.0f} s)")
        if all(machine.succeeds(command, installer.seconds) for command in installer.commands):
            program, reasons = find(machine)
            if program is not None:
                return program, reasons
        else:
            reasons.append(f"installing {installer.what} failed; its output is above")
    return None, reasons


def installers(machine: Machine) -> list[Installer]:
    """The installers that may run here; system packages need root or sudo without a password."""
    playwright = (sys.executable, "-m", "playwright", "install")
    shell = "chromium-headless-shell"
    has_rights = machine.is_root or (
        machine.which("sudo") is not None and machine.succeeds(("sudo", "--non-interactive", "true"), 10)
    )
    with_libraries = has_rights and machine.which("apt-get") is not None
    found = [
        Installer(
            f"Playwright's {shell}{' with its system libraries' if with_libraries else ''}",
            ((*playwright, *(["--with-deps"] if with_libraries else []), shell),),
            300,
        )
    ]
    # Ubuntu's package of this name installs a snap, which does not start in containers.
    if with_libraries and machine.is_debian:
        sudo = () if machine.is_root else ("sudo", "--non-interactive")
        packages = ("chromium", "fonts-dejavu-core")
        install = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends")
        found.append(Installer("Debian's chromium", ((*sudo, "apt-get", "update"), (*sudo, *install, *packages)), 300))
    return found


def launch(playwright: Playwright, program: Program) -> Browser:
    """Start the browser. Raises playwright.sync_api.Error."""
    return playwright.chromium.launch(
        executable_path=program.path, chromium_sandbox=program.sandboxed, args=FLAGS, timeout=START_SECONDS * 1000
    )


def say(text: str) -> None:
    print(f"   {text}", flush=True)  # noqa: T201 - a program's output


class ThisMachine:
    """The machine that the tests run on."""

    def __init__(self) -> None:
        self.environment: Mapping[str, str] = os.environ
        self.is_root = os.geteuid() == 0
        release = Path("/etc/os-release")
        self.is_debian = release.exists() and "ID=debian" in release.read_text().splitlines()

    def which(self, name: str) -> str | None:
        return shutil.which(name)

    def why_not(self, program: Program) -> str:
        with sync_playwright() as playwright:
            try:
                launch(playwright, program).close()
            except PlaywrightError as error:
                return _summary(error.message)
        return ""

    def succeeds(self, command: Sequence[str], seconds: float) -> bool:
        say(shlex.join(command))
        # A session of its own, so that the whole installer ends with its time.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            say(f"not finished after {seconds:.0f} s; ended")
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _programs(machine: Machine) -> Iterator[Program]:
    """Candidates in order of preference, each at first with its sandbox.

    Chromium's sandbox does not work for root, nor where the kernel allows no user namespaces (containers, Ubuntu's
    AppArmor). The tests show it pages of this project only, so it may run without.
    """
    if chosen := machine.environment.get(PATH_VARIABLE):
        paths: list[str | None] = [chosen]
    else:
        found = [path for name in (*COMMANDS, *MAC_PROGRAMS) if (path := machine.which(name))]
        # Several names may be one program.
        paths = [*dict.fromkeys(os.path.realpath(path) for path in found), None]
    for path in paths:
        if not machine.is_root:
            yield Program(path)
        yield Program(path, sandboxed=False)


def _summary(message: str) -> str:
    """The line of Playwright's message that tells the cause: of the browser's own output if there is any."""
    lines = [line.strip(" ║-") for line in message.splitlines() if not line.strip(" -").startswith("<launch")]
    own = [line for line in lines if "[err]" in line]
    return (own or [line for line in lines if line] or ["it does not start"])[0][:300]
