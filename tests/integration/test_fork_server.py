"""Processes that the fork server starts: their exits, signals and PIDs, and the exit of the server itself."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entrypoints.local.settings_check import check_settings
from entrypoints.processes import child_process
from entrypoints.processes.child_process import ChildProcess
from entrypoints.processes.data_directory import DataDirectory
from entrypoints.processes.fork_client import FORK_FAILED, ForkedProcess, ForkServerClient
from entrypoints.settings import SettingsError
from tests.integration.engine_process import PATIENCE, eventually


@pytest.fixture
def fork_server(tmp_path: Path) -> Iterator[ForkServerClient]:
    fork_server = ForkServerClient(DataDirectory(tmp_path))
    yield fork_server
    fork_server.close()


@pytest.fixture
def child(fork_server: ForkServerClient, tmp_path: Path) -> Iterator[ChildProcess]:
    """A beat that waits for its settings."""
    child = ChildProcess(fork_server, "beat", [], tmp_path / "beat.log")
    child.start()
    yield child
    child.kill()


def wait_for_pid(child: ChildProcess) -> int:
    eventually(lambda: child.pid is not None, "the PID")
    assert child.pid is not None
    return child.pid


def forked(child: ChildProcess) -> ForkedProcess:
    assert child._process is not None
    return child._process


def test_a_forked_process_leads_a_session_and_holds_the_lock(child: ChildProcess, tmp_path: Path) -> None:
    pid = wait_for_pid(child)
    eventually(lambda: (tmp_path / "beat.lock").read_text() == str(pid), "the PID in the lock file")
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/comm").read_text() == "beat\n"
    assert [path for path in Path(f"/proc/{pid}/fd").iterdir() if path.resolve() == (tmp_path / "beat.lock").resolve()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_by_a_signal_is_reported(child: ChildProcess, number: int) -> None:
    os.kill(wait_for_pid(child), number)
    assert forked(child).wait(PATIENCE) == -number


def test_an_exit_status_is_reported_and_the_pid_kept_until_it_is_reaped(child: ChildProcess) -> None:
    pid = wait_for_pid(child)
    child.send_settings({"JWT_SECRET": "short"})
    assert forked(child).wait(PATIENCE) == 1
    assert "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    child.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the zombie to be reaped")


def test_the_end_of_a_process_or_of_the_server_ends_a_wait_for_messages(
    fork_server: ForkServerClient, child: ChildProcess
) -> None:
    process = forked(child)
    os.kill(wait_for_pid(child), signal.SIGTERM)
    _wait_by_messages(fork_server, lambda: process.poll() is not None)
    assert process.poll() == -signal.SIGTERM
    fork_server.kill()
    _wait_by_messages(fork_server, lambda: process.is_orphaned)
    fork_server.wait_for_message(0.01)


def _wait_by_messages(fork_server: ForkServerClient, is_done: Callable[[], bool]) -> None:
    """Wait for messages until `is_done`; fail if a wait ends by its timeout alone."""
    deadline = time.monotonic() + PATIENCE
    while not is_done():
        assert time.monotonic() < deadline
        fork_server.wait_for_message(2 * PATIENCE)


def test_a_signal_waits_until_the_process_is_forked(child: ChildProcess) -> None:
    """The server is still loading the code when the signal is sent."""
    process = forked(child)
    assert process.pid is None
    child.terminate()
    assert process.wait(PATIENCE) == -signal.SIGTERM


def test_a_wait_ends_in_time(child: ChildProcess) -> None:
    wait_for_pid(child)
    with pytest.raises(subprocess.TimeoutExpired):
        forked(child).wait(0.05)


def test_after_the_end_of_the_fork_server_its_processes_end_and_are_started_again(
    fork_server: ForkServerClient, child: ChildProcess
) -> None:
    former = wait_for_pid(child)
    fork_server.kill()

    def restarted() -> bool:
        child.restart_if_dead()
        return child.pid not in {None, former}

    eventually(restarted, "a new process")
    eventually(lambda: not Path(f"/proc/{former}").exists(), "the end of the former process")
    assert forked(child).poll() is None


def test_a_fork_server_that_does_not_answer_is_killed(child: ChildProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "KILL_SECONDS", 0.2)
    pid = wait_for_pid(child)
    os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGSTOP)
    child.kill()
    assert child.pid is None
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the exit of the process")


def test_a_process_that_cannot_be_forked_ends_alone(
    fork_server: ForkServerClient, child: ChildProcess, tmp_path: Path
) -> None:
    pid = wait_for_pid(child)
    with (tmp_path / "none").open("wb") as file:
        refused = fork_server.fork("worker", [], [file.fileno(), file.fileno()])
        assert refused.wait(PATIENCE) == FORK_FAILED
    assert (tmp_path / "none").read_text() == "The process worker cannot be forked: too many files are open.\n"
    assert child.pid == pid


def test_wrong_settings_are_reported_by_the_process_that_checks_them() -> None:
    check_settings({"DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://cache", "JWT_SECRET": "x" * 32})
    with pytest.raises(SettingsError, match=r"JWT_SECRET.*at least 32 bytes"):
        check_settings({"DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://cache", "JWT_SECRET": "x"})
