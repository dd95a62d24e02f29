"""Supervision that both embedded servers share: one engine per directory, no unnoticed server after a killed engine.

Two locks guard a server's directory. The engine holds `owner.lock`; a second engine is refused. The server's processes
inherit `server.lock`. If that lock is held while no other engine runs, a killed engine has left its server running, and
the next engine stops it before it starts its own.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, NamedTuple, Self

from adapters.embedded.file_lock import FileLock
from adapters.embedded.log_file import open_log, tail

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.01  # a server is ready some tens of milliseconds after its start


class EmbeddedServerError(Exception):
    """An embedded server cannot run; the message gives the cause and the remedy."""


class SystemUser(NamedTuple):
    """The system user that a server runs as, where that is another than the engine's."""

    uid: int
    gid: int
    name: str


class ServerDirectory:
    """The directory of one server: its data, password, port, log and locks."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(mode)
            owner = FileLock(self.path / "owner.lock")
        except OSError as error:
            raise EmbeddedServerError(
                f"{self.path} cannot be used as a data directory: {error.strerror}. "
                "Choose another one, or make it writable for the user that runs the engine."
            ) from error
        if not owner.try_acquire():
            holder = owner.holder
            owner.close()
            raise EmbeddedServerError(
                f"{self.path.parent} is in use by another engine (process {holder or 'unknown'}). "
                "Stop that one first, or choose another data directory."
            )
        owner.write_holder(os.getpid())
        self._owner: FileLock | None = owner

    def release(self) -> None:
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def lock_server(self, stop_signals: Sequence[tuple[int, float]]) -> FileLock:
        """Acquire the server's lock; a server of a killed engine is stopped first.

        `stop_signals` are pairs of a signal number and the seconds that the server has to end after it.
        """
        lock = FileLock(self.path / "server.lock")
        if lock.acquire_from_leftover(stop_signals, self._signal_leftover):
            return lock
        leftover = lock.holder
        lock.close()
        raise EmbeddedServerError(
            f"A server of an earlier run is still running in {self.path} (process {leftover or 'unknown'}) "
            "and does not stop. End that process, then start again."
        )

    def works_here(self, pid: int) -> bool:
        """Return whether that process is alive and works in this directory; True where there is no /proc."""
        if not Path("/proc/self/cwd").exists():
            return True
        try:
            return Path(f"/proc/{pid}/cwd").resolve().is_relative_to(self.path.resolve())
        except OSError:
            return False

    def has_password(self, name: str = "password") -> bool:
        return (self.path / name).exists()

    def password(self, name: str = "password") -> str:
        """Return the password in the file `name`; the first call generates it. Only this user may read the file."""
        path = self.path / name
        if self.has_password(name):
            return path.read_text().strip()
        password = secrets.token_hex(24)
        write_private(path, password)
        return password

    def port(self) -> int:
        """Return the port of the last run if it is free, so that addresses stay valid, or else another free port."""
        remembered = _read_number(self.path / "port")
        if remembered and is_free(remembered):
            return remembered
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        (self.path / "port").write_text(f"{port}\n")
        return port

    @property
    def log(self) -> Path:
        return self.path / "log"

    def open_log(self) -> IO[bytes]:
        return open_log(self.log)

    def tail_log(self) -> str:
        """Return the end of the log, for the message about a failed start."""
        return tail(self.log, 6)

    def _signal_leftover(self, pid: int, number: int) -> None:
        if self.works_here(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a suspended process handles the first signal only when it continues


class ServerProcess:
    """A running server, in a session separate from the terminal's, which Ctrl-C therefore does not reach.

    The kernel signals the server when the engine dies (`PR_SET_PDEATHSIG`). Linux sends that signal when the *thread*
    that started the process ends, so one thread starts the server and waits for its end.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        lock: FileLock,
        output: IO[bytes],
        death_signal: int,
        user: SystemUser | None = None,
        stdin: bytes = b"",
    ) -> None:
        uid, gid = (user.uid, user.gid) if user else (-1, -1)
        self._arguments = [
            *(sys.executable, "-I", "-S", str(_LAUNCH)),
            *map(str, (os.getpid(), int(death_signal), uid, gid, lock.descriptor)),
            *map(str, command),
        ]
        self._cwd, self._lock, self._output, self._stdin = cwd, lock, output, stdin
        self._begun, self._ended = threading.Event(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: Exception | None = None
        threading.Thread(target=self._run, name=f"parent of {Path(command[0]).name}", daemon=True).start()
        self._begun.wait()
        if self._failure:
            raise EmbeddedServerError(f"{command[0]} cannot be started: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._arguments,
                cwd=self._cwd,
                pass_fds=[self._lock.descriptor],
                stdin=subprocess.PIPE if self._stdin else subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            )
        except Exception as error:  # noqa: BLE001 - the constructor raises it
            self._failure = error
            return
        finally:
            self._begun.set()
        self._process.communicate(self._stdin or None)
        self._ended.set()

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def exit_status(self) -> int | None:
        return self._started.returncode if self._ended.is_set() else None

    @property
    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the constructor returns only after the process has started")
        return self._process

    def wait(self, seconds: float | None = None) -> bool:
        """Return whether the process ended within that time (None: wait without a limit)."""
        return self._ended.wait(seconds)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Return whether `ready()` became true within that time and before the process ended."""
        return _wait_until(lambda: ready() or not self.running, seconds) and self.running

    def stop(self, signals: Sequence[tuple[int, float]]) -> None:
        """Send each signal in turn and wait for the end of the process; pairs of a signal number and seconds."""
        for number, timeout in signals:
            if self.running:
                self._started.send_signal(number)
                self.wait(timeout)


class EmbeddedServer(ABC):
    """A server that runs while a `with` block lasts; starting raises `EmbeddedServerError`."""

    name: ClassVar[str]
    start_seconds: ClassVar[float]
    """Limit for a start. It allows for a long recovery after a crash; a server that fails to start ends earlier."""
    stop_signals: ClassVar[Sequence[tuple[int, float]]]
    """Pairs of a signal number and the seconds that the server has to end after it, in this order."""

    def __init__(self, path: Path, mode: int = 0o700) -> None:
        self._path, self._mode = path, mode

    @abstractmethod
    def _prepare(self) -> None:
        """Prepare the directory, which is locked, for the start of the server."""

    @abstractmethod
    def _launch(self, port: int) -> ServerProcess:
        """Start the server's process on that port."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Return whether the server answers."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._home = ServerDirectory(self._path, self._mode)
        try:
            self._lock = self._home.lock_server(self.stop_signals)
            try:
                self._prepare()
                self._start()
            finally:
                self._lock.close()  # a started server has inherited the lock
        except BaseException as error:
            self._home.release()
            if isinstance(error, OSError):
                raise EmbeddedServerError(f"{self.name} cannot be started in {self._home.path}: {error}") from error
            raise

    def stop(self) -> None:
        """Stop the server and release its directory; further calls have no effect."""
        try:
            self._process.stop(self.stop_signals)
        finally:
            self._home.release()

    @property
    def running(self) -> bool:
        """False once the server's process has ended."""
        return self._process.running

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return self._port

    @property
    def log(self) -> Path:
        return self._home.log

    def _start(self) -> None:
        for last_attempt in (False, False, True):
            self._port = self._home.port()
            self._process = self._launch(self._port)
            try:
                if self._process.wait_until(self._is_ready, self.start_seconds):
                    return
            except BaseException:
                self._process.stop(self.stop_signals)
                raise
            # Another program may have taken the port after it was chosen.
            if last_attempt or self._process.running or is_free(self._port):
                break
        self._process.stop(self.stop_signals)
        raise EmbeddedServerError(
            f"{self.name} does not start in {self._home.path}. The end of its log ({self.log}):\n"
            f"{self._home.tail_log()}"
        )


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read. It replaces the former file atomically."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def is_free(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
