"""Where the browser tests look for a browser, what they install, and what happens where none can be had."""

import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest
from attrs import define, field

from tests.browser.__main__ import run
from tests.browser.chromium import BrowserNotUsable, Program, ThisMachine, find, find_or_install, installers


@define
class FakeMachine:
    """A machine with programs by name, of which some start."""

    environment: dict[str, str] = field(factory=dict)
    is_root: bool = False
    is_debian: bool = True
    programs: dict[str, str] = field(factory=dict)
    starts: Collection[str | None] = ()
    needs_no_sandbox: bool = False
    installs: Callable[[Sequence[str]], bool] = lambda _: False
    executed: list[tuple[str, ...]] = field(factory=list)

    def which(self, name: str) -> str | None:
        return self.programs.get(name)

    def why_not(self, program: Program) -> str:
        if program.path not in self.starts:
            return "it does not start"
        return "No usable sandbox!" if program.sandboxed and self.needs_no_sandbox else ""

    def succeeds(self, command: Sequence[str], seconds: float) -> bool:
        assert 0 < seconds <= 600
        self.executed.append(tuple(command))
        return self.installs(command)


def status_of(machine: FakeMachine, left_out: Path) -> tuple[int, list[Sequence[str]]]:
    """Run the program; return its status, and the arguments of each run of pytest, which fails with status 7."""
    ran: list[Sequence[str]] = []

    def pytest_run(arguments: Sequence[str]) -> int:
        ran.append(arguments)
        return 7

    return run(["-k", "price"], machine, left_out, pytest_run), ran


def test_the_first_program_that_starts_is_used() -> None:
    machine = FakeMachine(
        programs={"chromium": "/snap/stub", "google-chrome": "/opt/chrome"}, starts={"/opt/chrome", None}
    )

    assert find(machine)[0] == Program("/opt/chrome")
    assert not machine.executed


def test_the_browser_of_playwright_is_used_where_no_other_is() -> None:
    assert find(FakeMachine(starts={None}))[0] == Program(None)


@pytest.mark.parametrize("machine", [FakeMachine(is_root=True), FakeMachine(needs_no_sandbox=True)])
def test_the_sandbox_is_left_out_only_for_root_and_where_it_does_not_work(machine: FakeMachine) -> None:
    machine.programs, machine.starts = {"chromium": "/usr/bin/chromium"}, {"/usr/bin/chromium"}

    assert find(machine)[0] == Program("/usr/bin/chromium", sandboxed=False)


def test_a_chosen_path_that_does_not_start_is_an_error_although_others_do(tmp_path: Path) -> None:
    machine = FakeMachine(environment={"CHROME_PATH": "/wrong"}, programs={"chromium": "/x"}, starts={"/x", None})

    with pytest.raises(BrowserNotUsable, match="CHROME_PATH is /wrong"):
        find(machine)
    assert status_of(machine, tmp_path / "left-out") == (2, [])


def test_a_chosen_path_precedes_the_others() -> None:
    machine = FakeMachine(environment={"CHROME_PATH": "/mine"}, programs={"chromium": "/x"}, starts={"/x", "/mine"})

    assert find(machine)[0] == Program("/mine")


def test_a_person_without_rights_gets_the_browser_of_playwright_only() -> None:
    commands = [command for installer in installers(FakeMachine()) for command in installer.commands]

    assert commands == [(sys.executable, "-m", "playwright", "install", "chromium-headless-shell")]


def test_root_gets_system_libraries_and_on_debian_its_package() -> None:
    machine = FakeMachine(is_root=True, programs={"apt-get": "/usr/bin/apt-get"})
    playwright, debian = installers(machine)
    machine.is_debian = False

    assert "--with-deps" in playwright.commands[0]
    assert "chromium" in debian.commands[-1]
    assert installers(machine) == [playwright]


def test_sudo_counts_only_if_it_asks_for_no_password() -> None:
    programs = {"apt-get": "/usr/bin/apt-get", "sudo": "/usr/bin/sudo"}
    refused = FakeMachine(programs=programs)
    allowed = FakeMachine(programs=programs, installs=lambda command: command[-1] == "true")

    assert len(installers(refused)) == 1
    assert installers(allowed)[1].commands[0] == ("sudo", "--non-interactive", "apt-get", "update")


def test_debians_package_is_installed_if_playwright_cannot() -> None:
    machine = FakeMachine(is_root=True, programs={"apt-get": "/usr/bin/apt-get"})

    def install(command: Sequence[str]) -> bool:
        if command[-1] == "fonts-dejavu-core":
            machine.programs["chromium"], machine.starts = "/usr/bin/chromium", {"/usr/bin/chromium"}
        return "apt-get" in command

    machine.installs = install
    program, _ = find_or_install(machine)

    assert program == Program("/usr/bin/chromium", sandboxed=False)
    assert [command[0] for command in machine.executed] == [sys.executable, "apt-get", "env"]


def test_the_tests_run_in_a_browser_that_starts_and_their_status_counts(tmp_path: Path) -> None:
    left_out = tmp_path / "left-out"
    left_out.write_text("of an earlier run")

    assert status_of(FakeMachine(starts={None}), left_out) == (7, [["-k", "price"]])
    assert not left_out.exists()


def test_no_browser_fails_if_ci_is_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left_out = tmp_path / "left-out"

    assert status_of(FakeMachine(environment={"CI": "true"}), left_out) == (1, [])
    assert "FAILED: no browser starts on this machine, and CI is set" in capsys.readouterr().out
    assert not left_out.exists()


def test_no_browser_elsewhere_leaves_a_line_that_says_what_is_missing_and_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left_out = tmp_path / "cache/left-out"

    assert status_of(FakeMachine(), left_out) == (0, [])
    (line,) = left_out.read_text().splitlines()
    assert "NOT TESTED" in line
    assert "apt-get install chromium" in line
    assert "make browser" in line
    assert "the Chromium of Playwright: it does not start" in capsys.readouterr().out


def test_a_program_that_is_no_browser_does_not_start(tmp_path: Path) -> None:
    wrong = tmp_path / "chromium"
    wrong.write_text("#!/bin/sh\necho 'requires the chromium snap' >&2\nexit 1\n")
    wrong.chmod(0o755)

    assert ThisMachine().why_not(Program(str(wrong)))


def test_an_installer_that_takes_too_long_is_ended() -> None:
    assert not ThisMachine().succeeds(("sleep", "60"), 0.05)
