"""The client of `fork_server`: processes that are forked, watched and waited for through its connection.

Messages are lines of JSON. `{"request", "name", "arguments"}`, with three file descriptors, forks a process and is
answered by `{"request", "pid"}`; `{"ended", "status"}` reports its end; `{"forget"}` releases its number.
"""

import json
import os
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

_POLL_SECONDS: Final = 0.02
_END_SECONDS: Final = 5.0


class ForkServer:
    """Starts the process at the first fork, and again if it has ended. `fork` and `close` are for the main thread."""

    def __init__(self, data: DataDirectory) -> None:
        """`data`: the directory with the log."""
        self._data = data
        self._connection: _Connection | None = None

    def fork(self, name: str, arguments: Sequence[str], descriptors: Sequence[int]) -> "ForkedProcess":
        """Request a process (see `fork_server.Fork` and `DESCRIPTORS`); it is forked once the code is loaded."""
        if self._connection is None or self._connection.is_lost:
            self.close()
            self._connection = _Connection(self._data.log_path("fork-server"))
        return self._connection.fork(name, arguments, descriptors)

    def kill(self) -> None:
        """Kill the process; safe in a signal handler."""
        if self._connection is not None:
            self._connection.kill()

    def close(self) -> None:
        """End the process. The processes that it has forked should have ended before; others get SIGTERM."""
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
        self.is_lost = False
        arguments = [sys.executable, "-P", "-m", "entrypoints.local.child_main", str(os.getpid())]
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
            self.is_lost = True
        return forked

    def receive(self) -> None:
        """Take what has arrived.

        A stop signal can raise an exception at any place. Messages are removed from the socket after they were taken;
        taking one twice has no effect.
        """
        with self._lock:
            while not self.is_lost:
                try:
                    text = self._socket.recv(65_536, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return
                except OSError:
                    text = b""
                if not text:
                    self.is_lost = True
                    return
                lines = text[: text.rfind(b"\n") + 1]
                for line in lines.splitlines():
                    self._take(json.loads(line))
                if not lines:
                    return
                self._socket.recv(len(lines))

    def _take(self, message: dict[str, int]) -> None:
        if "ended" in message:
            self.statuses[message["ended"]] = message["status"]
        else:
            self.pids[message["request"]] = message["pid"]

    def forget(self, pid: int) -> None:
        """Release the number of a process whose end was reported."""
        if not self.is_lost and self.statuses.pop(pid, None) is not None:
            try:
                self._socket.sendall(json.dumps({"forget": pid}).encode() + b"\n")
            except OSError:
                self.is_lost = True

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self.is_lost = True
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ForkedProcess:
    """A process of the fork server; `poll` and `wait` are those of `subprocess.Popen`."""

    def __init__(self, connection: _Connection, request: int) -> None:
        self._connection = connection
        self._request = request
        self._status: int | None = None
        self._waiting_signal: int | None = None
        """A signal for the process that is not yet forked."""

    @property
    def pid(self) -> int | None:
        """None until the server has forked the process."""
        return self._connection.pids.get(self._request)

    def poll(self) -> int | None:
        """The exit status, or the negative number of a signal; None while the process runs or is not yet forked.

        If the fork server has ended, its processes get SIGTERM, and nobody learns of their ends: they count as ended.
        """
        if self._status is None:
            self._connection.receive()
            pid = self.pid
            if pid is not None and self._waiting_signal is not None:
                number, self._waiting_signal = self._waiting_signal, None
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if pid is not None and pid in self._connection.statuses:
                self._status = self._connection.statuses[pid]
            elif self._connection.is_lost:
                self._status = -signal.SIGTERM
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
        """Send a signal to the process alone, now or when it is forked, unless it has ended."""
        self._waiting_signal = number
        self.poll()

    def forget(self) -> None:
        """Release the number of the process, which has ended."""
        if self.pid is not None:
            self._connection.forget(self.pid)
