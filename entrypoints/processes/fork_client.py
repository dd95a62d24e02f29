"""The client of `fork_server`: processes that are forked, watched and waited for through its connection.

Messages are lines of JSON. The client sends `{"request", "name", "arguments"}` with three file descriptors; the server
forks a process and answers `{"request", "pid"}`, with 0 if it cannot fork. The server sends `{"ended": PID, "status"}`
when a process exits. The client sends `{"reap": PID}` when it no longer needs the PID.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from adapters.embedded.log_file import open_log
from entrypoints.processes.data_directory import DataDirectory

FORK_FAILED: Final = 1
"""The status of a process that could not be forked."""
_POLL_SECONDS: Final = 0.02
_EXIT_TIMEOUT_SECONDS: Final = 5.0


class ForkServerClient:
    """Starts the fork server at the first fork, and again if it has exited. Call `fork` and `close` from the main
    thread only.
    """

    def __init__(self, data: DataDirectory) -> None:
        """`data`: the data directory, in which the fork server writes its log."""
        self._data = data
        self._connection: _Connection | None = None

    def fork(self, name: str, arguments: Sequence[str], descriptors: Sequence[int]) -> "ForkedProcess":
        """Request a process (see `fork_server.ForkRequest` and `DESCRIPTORS`); it is forked once the code is loaded."""
        if self._connection is None or self._connection.is_closed:
            self.close()
            self._connection = _Connection(self.log)
        return self._connection.fork(name, arguments, descriptors)

    @property
    def log(self) -> Path:
        return self._data.log_path("fork-server")

    def wait_for_message(self, seconds: float) -> None:
        """Wait until the fork server reports something, such as the end of a process, for `seconds` at most."""
        if self._connection is None or self._connection.is_closed:
            time.sleep(seconds)
        else:
            self._connection.wait_for_message(seconds)

    def kill(self) -> None:
        """Kill the fork server; safe in a signal handler."""
        if self._connection is not None:
            self._connection.kill()

    def close(self) -> None:
        """Close the connection, on which the fork server exits; kill it after 5 s.

        Children that still run get SIGTERM (Linux only).
        """
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Connection:
    """The connection to one process of the fork server. `receive` is for any thread."""

    def __init__(self, log: Path) -> None:
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._requests = 0
        self.pids: dict[int, int] = {}
        """By request."""
        self.statuses: dict[int, int] = {}
        """By process: the exit status, or the negative number of the signal that ended it."""
        self.is_closed = False
        arguments = [sys.executable, "-P", "-m", "entrypoints.local.fork_server_main", str(os.getpid())]
        with open_log(log) as out, theirs:
            self._process = subprocess.Popen(
                arguments, stdin=theirs.fileno(), stdout=out, stderr=out, start_new_session=True
            )

    def fork(self, name: str, arguments: Sequence[str], descriptors: Sequence[int]) -> "ForkedProcess":
        self._requests += 1
        message = {"request": self._requests, "name": name, "arguments": list(arguments)}
        forked = ForkedProcess(self, self._requests)
        try:
            socket.send_fds(self._socket, [json.dumps(message).encode() + b"\n"], descriptors)
        except OSError:
            self.is_closed = True
        return forked

    def wait_for_message(self, seconds: float) -> None:
        if select.select([self._socket], [], [], seconds)[0]:
            self.receive()

    def receive(self) -> None:
        """Handle the messages that have arrived, without waiting.

        A stop signal can raise `StopRequested` anywhere, so a message is removed from the socket only after it was
        handled; handling it twice is harmless.
        """
        with self._lock:
            while not self.is_closed:
                try:
                    text = self._socket.recv(65_536, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return
                except OSError:
                    text = b""
                if not text:
                    self.is_closed = True
                    return
                lines = text[: text.rfind(b"\n") + 1]
                for line in lines.splitlines():
                    self._handle_message(json.loads(line))
                if not lines:
                    return
                self._socket.recv(len(lines))

    def _handle_message(self, message: dict[str, int]) -> None:
        if "ended" in message:
            self.statuses[message["ended"]] = message["status"]
        else:
            self.pids[message["request"]] = message["pid"]

    def reap(self, pid: int) -> None:
        """Let the server reap a process whose exit was reported; its PID can then be reused."""
        if not self.is_closed and self.statuses.pop(pid, None) is not None:
            try:
                self._socket.sendall(json.dumps({"reap": pid}).encode() + b"\n")
            except OSError:
                self.is_closed = True

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self.is_closed = True
        self._socket.close()
        try:
            self._process.wait(_EXIT_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ForkedProcess:
    """A process of the fork server; `poll` and `wait` are those of `subprocess.Popen`."""

    def __init__(self, connection: _Connection, request: int) -> None:
        self._connection = connection
        self._request = request
        self._status: int | None = None
        self._pending_signal: int | None = None
        """A signal to send as soon as the process is forked."""

    @property
    def pid(self) -> int | None:
        """None until the server has forked the process, and if it could not."""
        return self._connection.pids.get(self._request) or None

    def poll(self) -> int | None:
        """Return the exit status, or the negative number of the signal that ended the process; None while it runs or is
        not yet forked.

        If the fork server has exited, exit statuses are unknown: its processes get SIGTERM, and `poll` returns -SIGTERM
        although they may still be draining (`is_orphaned`).
        """
        if self._status is None:
            self._connection.receive()
            pid = self._connection.pids.get(self._request)
            status = None if pid is None else self._connection.statuses.get(pid)
            if status is not None:
                self._status = status
            elif pid == 0:
                self._status = FORK_FAILED
            elif self._connection.is_closed:
                self._status = -signal.SIGTERM
            elif pid is not None and self._pending_signal is not None:
                number, self._pending_signal = self._pending_signal, None
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        return self._status

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the end; raise `subprocess.TimeoutExpired`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), seconds or 0.0)
            time.sleep(_POLL_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, but not to its children; if it is not forked yet, `poll` sends it later."""
        self._pending_signal = number
        self.poll()

    def reap(self) -> None:
        """Let the server reap the process, which has exited."""
        if self.pid is not None:
            self._connection.reap(self.pid)

    @property
    def is_orphaned(self) -> bool:
        """Whether the fork server has exited: the process may still run, or its PID may belong to another one."""
        return self._connection.is_closed
