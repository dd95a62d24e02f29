"""The processes of `up`: started in sessions of their own, watched, started again, drained."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Final

from entrypoints.processes.errors import CannotRun

CRASH_LOOP_SECONDS: Final = 60.0
CRASH_LOOP_EXITS: Final = 5
"""So many deaths in so many seconds are no accident: starting again would only fill the disk with logs."""
MAX_RESTART_DELAY: Final = 8.0
READY: Final = b"ready"
_LOG_LIMIT: Final = 16 * 1024 * 1024


class ChildProcess:
    """One process, in a session of its own: the terminal's Ctrl-C reaches `up` alone, which then drains in order.

    It may be started before its settings are known: it loads its code, which takes longest, and waits for them. They
    come over a socket, where nobody can look as they can into an environment; back comes a word when it is ready.

    Its processes inherit a lock. Who finds it held, while no other engine owns the directory, has found what a killed
    engine left behind.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, *, expected_statuses: Container[int] = ()
    ) -> None:
        """`expected_statuses`: exit statuses that do not count towards the limit of `CRASH_LOOP_EXITS`."""
        self.name = name
        self.log = log
        self._arguments = [
            sys.executable,
            "-P",
            "-m",
            "entrypoints.local.child_main",
            str(os.getpid()),
            name,
            *arguments,
        ]
        self._expected_statuses = expected_statuses
        self._lock_path = log.with_suffix(".lock")
        self._settings: Mapping[str, str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._exit_times: list[float] = []
        self._restart_at = 0.0

    def start(self) -> None:
        """From the main thread only: Linux takes the end of the thread that starts a process for its parent's death."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        lock = self._take_lock()
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        with self.log.open("ab") as log, theirs:
            self._process = subprocess.Popen(
                self._arguments, pass_fds=[lock], stdin=theirs.fileno(), stdout=log, stderr=log, start_new_session=True
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(self._process.pid).encode(), 0)
        os.close(lock)
        if self._settings is not None:
            self._send(self._settings)

    def send_settings(self, settings: Mapping[str, str]) -> None:
        """Let it work, with these environment variables, now and whenever it is started again."""
        self._settings = dict(settings)
        if self._process is not None:
            self._send(self._settings)

    @property
    def pid(self) -> int | None:
        """Its process id, which is also that of its session; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def is_ready(self) -> bool:
        """Whether it has said so since it was started."""
        if self._channel is None:
            return False
        try:
            return self._channel.recv(16, socket.MSG_PEEK).startswith(READY)
        except OSError:
            return False

    def restart_if_dead(self) -> str | None:
        """Start the process again if it has ended, after a pause that grows; returns what there is to tell about it.

        Raise `CannotRun` when it ends again and again.
        """
        now = time.monotonic()
        if self._process is not None:
            if (status := self._process.poll()) is None:
                return None
            # Its own children may be alive, and would go on beside the next ones.
            self.kill()
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
            return f"The {self.name} has ended with {_describe_status(status)}: starting it again. Its log: {self.log}"
        if now >= self._restart_at:
            self.start()
        return None

    def terminate(self) -> None:
        """Ask it to finish what it does, and end."""
        if self._process is not None:
            self._process.terminate()

    def wait_or_kill(self, seconds: float) -> None:
        """Wait for its end, for so long at most."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            self.kill()

    def send_sigkill(self) -> None:
        """For a signal handler: it only sends a signal, so it can interrupt whatever else is done here."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """At once, with all that it has started."""
        self.send_sigkill()
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def tail_log(self, lines: int = 8) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _send(self, settings: Mapping[str, str]) -> None:
        # If it has ended already, `mend` will tell.
        with contextlib.suppress(OSError):
            if self._channel is not None:
                self._channel.sendall(json.dumps(settings).encode() + b"\n")

    def _take_lock(self) -> int:
        """The lock, held; what an engine that was killed has left running is stopped first."""
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # It heard of its engine's death and is draining. Whoever waits for a start will not wait long for that.
        for number, patience in ((0, 3.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
            if _try_lock(lock, 0.0):
                return lock
            leftover = int(os.pread(lock, 32, 0) or b"0")
            if leftover and number:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(leftover, number)
            if _try_lock(lock, patience):
                return lock
        os.close(lock)
        raise CannotRun(f"The {self.name} of an earlier run does not stop; end it by hand, then start again.")


def _try_lock(lock: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _describe_status(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
