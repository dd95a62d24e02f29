"""The processes of `up` and `torture`: each is started in its own session, watched, restarted and drained."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Final

from adapters.embedded.file_lock import FileLock
from adapters.embedded.log_file import open_log, tail
from entrypoints.processes.errors import CannotRun
from entrypoints.processes.fork_client import ForkedProcess, ForkServerClient

CRASH_LOOP_SECONDS: Final = 60.0
CRASH_LOOP_EXITS: Final = 5
"""A process that ends this often within `CRASH_LOOP_SECONDS` is not restarted again."""
MAX_RESTART_DELAY: Final = 8.0
KILL_SECONDS: Final = 5.0
"""Time in which a process ends after SIGKILL, and its fork server reports it."""
ORPHAN_DRAIN_SECONDS: Final = 25.0
"""Time for requests and tasks in progress of a process whose fork server has ended."""
READY: Final = b"ready"
_LEFTOVER_SIGNALS: Final = ((0, 3.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))
"""Signals to a process that a killed engine has left, and the seconds to wait after each. At first (0) it gets no
signal, since the parent-death signal has already made it drain."""


class ChildProcess:
    """A process in a session separate from the terminal's: Ctrl-C reaches `up` alone, which then drains in order.

    It is forked from a process that has loaded the code (`fork_server`), and can be started before its settings are
    known: it waits for them on a socket, since environment variables can be read from outside. When the process is
    ready it sends `READY` over the same socket.

    The process and its own children inherit a file lock. If that lock is held although no other engine owns the data
    directory, a killed engine has left the process running.
    """

    def __init__(
        self,
        fork_server: ForkServerClient,
        name: str,
        arguments: Sequence[str],
        log: Path,
        *,
        expected_statuses: Container[int] = (),
    ) -> None:
        """`expected_statuses`: exit statuses that do not count towards the limit of `CRASH_LOOP_EXITS`."""
        self.name = name
        self.log = log
        self._fork_server = fork_server
        self._arguments = arguments
        self._expected_statuses = expected_statuses
        self._lock_path = log.with_suffix(".lock")
        self._settings: Mapping[str, str] | None = None
        self._process: ForkedProcess | None = None
        self._channel: socket.socket | None = None
        self._exit_times: list[float] = []
        self._restart_at = 0.0

    def start(self) -> None:
        """Start the process; call this from the main thread only (see `die_with_parent`)."""
        lock = self._take_lock()
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        with open_log(self.log) as log, theirs:
            descriptors = [theirs.fileno(), log.fileno(), lock.descriptor]
            self._process = self._fork_server.fork(self.name, self._arguments, descriptors)
        lock.close()
        if self._settings is not None:
            self._send(self._settings)

    def send_settings(self, settings: Mapping[str, str]) -> None:
        """Send these environment variables to the process, now and after every restart; it then begins its work."""
        self._settings = dict(settings)
        if self._process is not None:
            self._send(self._settings)

    @property
    def pid(self) -> int | None:
        """The id of the process and of its session; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def is_ready(self) -> bool:
        """Whether the process has reported that it is ready, since its last start."""
        if self._channel is None:
            return False
        try:
            return self._channel.recv(16, socket.MSG_PEEK).startswith(READY)
        except OSError:
            return False

    def restart_if_dead(self) -> str | None:
        """Restart the process if it has ended, after a delay that doubles each time; return a message if it has ended.

        Raises CannotRun when the process has ended `CRASH_LOOP_EXITS` times within `CRASH_LOOP_SECONDS`.
        """
        now = time.monotonic()
        if self._process is not None:
            if (status := self._process.poll()) is None:
                return None
            is_orphan = self._process.is_orphaned
            # Its own children may still run; they would work beside those of the next process.
            self.wait_or_kill(ORPHAN_DRAIN_SECONDS)
            if status in self._expected_statuses:
                return None
            self._exit_times = [at for at in self._exit_times if at > now - CRASH_LOOP_SECONDS] + [now]
            if len(self._exit_times) >= CRASH_LOOP_EXITS:
                raise CannotRun(
                    f"The {self.name} has ended {CRASH_LOOP_EXITS} times within {CRASH_LOOP_SECONDS:.0f} s"
                    f" (last with {_describe_status(status)}). The end of its log ({self.log}):\n{self.tail_log()}"
                )
            pause = min(MAX_RESTART_DELAY, 0.25 * 2 ** (len(self._exit_times) - 1))
            self._restart_at = now + pause
            if is_orphan:
                return f"The {self.name} is being restarted, because its fork server has ended: {self._fork_server.log}"
            return (
                f"The {self.name} has ended with {_describe_status(status)} and is being restarted. Its log: {self.log}"
            )
        if now >= self._restart_at:
            self.start()
        return None

    def terminate(self) -> None:
        """Send SIGTERM: the process finishes its current work and ends."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait_or_kill(self, seconds: float) -> None:
        """Wait at most so many seconds for the end of the process, then kill it and its children.

        Raises CannotRun if the process still runs, after its fork server has ended.
        """
        if self._process is not None:
            deadline = time.monotonic() + seconds
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            self._end(deadline - time.monotonic())

    def send_sigkill(self) -> None:
        """Send SIGKILL to the process and its children; safe in a signal handler.

        Not after the end of its fork server: the PID may belong to another process by then.
        """
        if self._process is not None and not self._process.is_orphaned and (pid := self._process.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill the process and its children, and wait for its end. Raises CannotRun as `wait_or_kill` does."""
        self._end(0.0)

    def _end(self, orphan_seconds: float) -> None:
        """Kill the process and its children. A process whose fork server has ended drains for `orphan_seconds`."""
        if self._process is not None:
            if self._process.poll() is None:
                self.send_sigkill()
                self._process.send_signal(signal.SIGKILL)
                try:
                    self._process.wait(KILL_SECONDS)
                except subprocess.TimeoutExpired:
                    # The fork server does not answer, or still loads its code.
                    self._fork_server.kill()
                    self._process.wait()
            if self._process.is_orphaned:
                # Only its lock shows whether it has exited.
                self._take_lock(((0, max(0.0, orphan_seconds)), (signal.SIGKILL, KILL_SECONDS))).close()
            else:
                # Its own children are in its process group. The PID is not reused before `reap`.
                self.send_sigkill()
                self._process.reap()
            self._process = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def tail_log(self, lines: int = 8) -> str:
        return tail(self.log, lines)

    def _send(self, settings: Mapping[str, str]) -> None:
        # If the process has ended, `restart_if_dead` reports it.
        with contextlib.suppress(OSError):
            if self._channel is not None:
                self._channel.sendall(json.dumps(settings).encode() + b"\n")

    def _take_lock(self, signals: Sequence[tuple[int, float]] = _LEFTOVER_SIGNALS) -> FileLock:
        """Acquire the lock; a process that a killed engine or fork server has left running is stopped first."""
        lock = FileLock(self._lock_path)
        if lock.acquire_from_leftover(signals, _signal_session):
            return lock
        lock.close()
        raise CannotRun(
            f"The {self.name} of an earlier run is still running and does not stop. End that process, then start again."
        )


def _signal_session(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _describe_status(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
