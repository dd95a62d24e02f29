"""The directory of one engine on one machine: lock, token secret, logs, and the note by which commands find it.

.scalecommerce/
    engine.lock    held by `scalecommerce up` for as long as it runs
    engine.json    the settings it runs with, for commands in another terminal; private
    jwt-secret     made once; private
    logs/          api.log, worker.log, beat.log, traffic.log
    postgresql/    see adapters.embedded
    redis/
"""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import asdict, field, frozen

from adapters.embedded.supervision import write_private
from entrypoints.processes.errors import CannotRun

DEFAULT: Final = Path(".scalecommerce")
_PATIENCE: Final = 1.0
"""Seconds: a command that looks whether an engine is alive holds the lock for a moment."""


@frozen
class EngineInfo:
    """What a running engine tells commands: its settings by the names of their environment variables.

    `directory` is where it was started: modules of `PRICING_POLICIES` may be found there.
    """

    url: str
    embedded: bool
    settings: Mapping[str, str] = field(repr=False)
    directory: str = ""


class DataDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @contextmanager
    def lock_exclusively(self) -> Iterator[None]:
        """Make the directory and keep other engines out of it; raise `CannotRun`."""
        lock = self._take_lock()
        try:
            # Whatever an engine that was killed has left there is not true any more.
            self._info_path.unlink(missing_ok=True)
            yield
        finally:
            with contextlib.suppress(OSError):
                self._info_path.unlink(missing_ok=True)
            os.close(lock)

    def token_secret(self) -> str:
        path = self.path / "jwt-secret"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            made = secrets.token_urlsafe(48)
            write_private(path, made)
            return made

    def log_path(self, process: str) -> Path:
        directory = self.path / "logs"
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory / f"{process}.log"

    def write_engine_info(self, note: EngineInfo) -> None:
        write_private(self._info_path, json.dumps(asdict(note), indent=2))

    def running_engine(self) -> EngineInfo | None:
        """The note of the engine that runs here; None: none does, or it is still starting."""
        try:
            lock = os.open(self._lock_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CannotRun(f"{self.path} cannot be read: {error.strerror}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._read_info()
        finally:
            os.close(lock)
        return None

    @property
    def _info_path(self) -> Path:
        return self.path / "engine.json"

    @property
    def _lock_path(self) -> Path:
        return self.path / "engine.lock"

    def _read_info(self) -> EngineInfo | None:
        try:
            content: dict[str, Any] = json.loads(self._info_path.read_text())
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise CannotRun(
                f"The engine in {self.path} belongs to another user: {self._info_path} is private."
            ) from error
        return EngineInfo(**content)

    def _take_lock(self) -> int:
        try:
            # 0711: PostgreSQL may run as a user of its own, who has to pass through. All that is private is so itself.
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotRun(
                f"{self.path} cannot be used as a data directory: {error.strerror}. Choose another one with --data."
            ) from error
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                os.close(lock)
                raise CannotRun(
                    f"Another engine runs in {self.path}. Stop that one first, or choose another directory with --data."
                ) from None
            return lock
