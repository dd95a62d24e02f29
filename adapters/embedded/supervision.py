"""What both embedded servers share: one engine per directory, and no server that outlives its engine unseen.

Two locks guard a server's directory. `owner.lock` is held by the engine: a second engine is turned away.
`server.lock` is held by the server's own processes, which inherit it: an engine that finds it held, while no other
engine runs, has found what a killed engine left behind, and stops that before it starts its own.
"""

import contextlib
import fcntl
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

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL = 0.01  # seconds; a server is ready some tens of milliseconds after its start
_LOG_LIMIT = 16 * 1024 * 1024


class EmbeddedServerError(Exception):
    """An embedded server cannot run; the message says why, and what to do about it."""


class User(NamedTuple):
    """The system user that a server runs as, if that is not the one that starts it."""

    uid: int
    gid: int
    name: str


class ServerDirectory:
    """Where one server keeps everything: its data, password, port, log and the locks."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(mode)
            owner = _open_lock(self.path / "owner.lock")
        except OSError as error:
            raise EmbeddedServerError(
                f"{self.path} cannot be used as a data directory: {error.strerror}. "
                "Choose another one, or make it writable for the user that runs the engine."
            ) from error
        if not _try_lock(owner):
            holder = _read_number(self.path / "owner.lock")
            os.close(owner)
            raise EmbeddedServerError(
                f"{self.path.parent} is in use by another engine (process {holder or 'unknown'}). "
                "Stop that one first, or choose another data directory."
            )
        os.ftruncate(owner, 0)
        os.pwrite(owner, str(os.getpid()).encode(), 0)
        self._owner: int | None = owner

    def release(self) -> None:
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    def lock_server(self, stop_signals: Sequence[tuple[int, float]]) -> int:
        """The server's lock, held; stops what a killed engine left running, with each signal in its time (seconds)."""
        lock = _open_lock(self.path / "server.lock")
        if _try_lock(lock):
            return lock
        leftover = _read_number(self.path / "server.lock")
        for number, patience in stop_signals:
            if leftover and self.works_here(leftover):
                _signal(leftover, number)
            if _wait_until(lambda: _try_lock(lock), patience):
                return lock
        os.close(lock)
        raise EmbeddedServerError(
            f"A server of an earlier run still works in {self.path} (process {leftover or 'unknown'}) "
            "and does not stop. End it by hand, then start again."
        )

    def works_here(self, pid: int) -> bool:
        """Whether that process lives, and in this directory. Without /proc there is no telling; we say yes."""
        if not Path("/proc/self/cwd").exists():
            return True
        try:
            return Path(f"/proc/{pid}/cwd").resolve().is_relative_to(self.path.resolve())
        except OSError:
            return False

    @property
    def has_password(self) -> bool:
        return (self.path / "password").exists()

    def password(self) -> str:
        """Made once; only this user may read it."""
        path = self.path / "password"
        if self.has_password:
            return path.read_text().strip()
        password = secrets.token_hex(24)
        write_private(path, password)
        return password

    def port(self) -> int:
        """The port of the last run, if it is free, so that noted addresses stay right; else another free one."""
        remembered = _read_number(self.path / "port")
        if remembered and is_free(remembered):
            return remembered
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        (self.path / "port").write_text(f"{port}\n")
        return port

    def open_log(self) -> IO[bytes]:
        """The server's log, to be appended to; the one before is kept once it has grown large."""
        path = self.path / "log"
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.replace(self.path / "log.1")
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")

    def last_words(self) -> str:
        """The end of the log, for the error that reports a failed start."""
        return "\n".join((self.path / "log").read_text(errors="replace").splitlines()[-6:])


class ServerProcess:
    """A server, running in a session of its own, so that the terminal's Ctrl-C does not reach it.

    It is told to stop when the engine dies, however that happens (`PR_SET_PDEATHSIG`). Linux takes the end of the
    *thread* that started a process for its parent's death; so one thread starts the server and stays with it.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        lock: int,
        output: IO[bytes],
        death_signal: int,
        user: User | None = None,
        stdin: bytes = b"",
    ) -> None:
        uid, gid = (user.uid, user.gid) if user else (-1, -1)
        self._arguments = [
            *(sys.executable, "-I", "-S", str(_LAUNCH)),
            *map(str, (os.getpid(), int(death_signal), uid, gid, lock)),
            *map(str, command),
        ]
        self._cwd, self._lock, self._output, self._stdin = cwd, lock, output, stdin
        self._begun, self._ended = threading.Event(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: Exception | None = None
        threading.Thread(target=self._keep, name=f"keeper of {Path(command[0]).name}", daemon=True).start()
        self._begun.wait()
        if self._failure:
            raise EmbeddedServerError(f"{command[0]} cannot be started: {self._failure}") from self._failure

    def _keep(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._arguments,
                cwd=self._cwd,
                pass_fds=[self._lock],
                stdin=subprocess.PIPE if self._stdin else subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            )
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for the start
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
            raise RuntimeError("the constructor returns only when there is a process")
        return self._process

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it ended in that time."""
        return self._ended.wait(seconds)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Whether that came true in that time, and before the process ended."""
        return _wait_until(lambda: ready() or not self.running, seconds) and self.running

    def stop(self, signals: Sequence[tuple[int, float]]) -> None:
        """Ask it to end with each signal in turn, and give each its time (seconds)."""
        for number, patience in signals:
            if self.running:
                self._started.send_signal(number)
                self.wait(patience)


class EmbeddedServer(ABC):
    """One server for as long as a `with` block lasts; raises `EmbeddedServerError` when that cannot be had."""

    name: ClassVar[str]
    start_seconds: ClassVar[float]  # for reading a long log after a crash; a server that fails ends by itself, at once
    stop_signals: ClassVar[Sequence[tuple[int, float]]]  # in this order, each with the time it gets, in seconds

    def __init__(self, path: Path, mode: int = 0o700) -> None:
        self._path, self._mode = path, mode

    @abstractmethod
    def _prepare(self) -> None:
        """Everything that precedes the start of the server, in the directory that is ours by now."""

    @abstractmethod
    def _launch(self, port: int) -> ServerProcess:
        """The server's process, on that port."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server answers."""

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
                os.close(self._lock)  # the server has inherited it, if there is one
        except BaseException as error:
            self._home.release()
            if isinstance(error, OSError):
                raise EmbeddedServerError(f"{self.name} cannot be started in {self._home.path}: {error}") from error
            raise

    def stop(self) -> None:
        """May be called again."""
        try:
            self._process.stop(self.stop_signals)
        finally:
            self._home.release()

    @property
    def running(self) -> bool:
        """False once the server has ended, by itself or because somebody stopped it."""
        return self._process.running

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return self._port

    @property
    def log(self) -> Path:
        return self._home.path / "log"

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
            # Between our choice of the port and the server's start another program may have taken it.
            if last_attempt or self._process.running or is_free(self._port):
                break
        self._process.stop(self.stop_signals)
        raise EmbeddedServerError(
            f"{self.name} does not start in {self._home.path}. The end of its log ({self.log}):\n"
            f"{self._home.last_words()}"
        )


def write_private(path: Path, text: str) -> None:
    """Nobody else can read it at any moment, and no reader sees half of it."""
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


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)  # a suspended process hears the other signal only when it goes on


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True
