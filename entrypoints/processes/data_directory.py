"""The directory of one engine on one machine: lock, token secret, logs, and the file through which commands find it.

.scalecommerce/
    engine.lock    held by `scalecommerce up` while it runs, whose PID it contains
    engine.json    the settings of the running engine, for commands in another terminal; private
    jwt-secret     generated at the first start; private
    logs/          api.log, worker.log, beat.log, traffic.log, fork-server.log
    postgresql/    see adapters.embedded
    redis/
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import asdict, field, frozen

from adapters.embedded.file_lock import FileLock, is_locked
from adapters.embedded.supervision import write_private
from entrypoints.processes.errors import CannotRun

DEFAULT: Final = Path(".scalecommerce")
_LOCK_TIMEOUT: Final = 1.0
"""Seconds. A command that checks whether an engine runs holds the lock for a moment."""


@frozen
class EngineInfo:
    """A running engine, as commands find it; `settings` are by the names of their environment variables.

    `directory` is the working directory of the engine, which may contain modules of `PRICING_POLICIES`.
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
        """Create the directory and lock out other engines; raises CannotRun if one runs there."""
        lock = self._take_lock()
        try:
            # A killed engine leaves an outdated file.
            self._info_path.unlink(missing_ok=True)
            yield
        finally:
            with contextlib.suppress(OSError):
                self._info_path.unlink(missing_ok=True)
            lock.close()

    def token_secret(self) -> str:
        """Return the secret that signs tokens; the first call generates it."""
        path = self.path / "jwt-secret"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            generated = secrets.token_urlsafe(48)
            write_private(path, generated)
            return generated

    def log_path(self, process: str) -> Path:
        directory = self.path / "logs"
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory / f"{process}.log"

    def write_engine_info(self, info: EngineInfo) -> None:
        write_private(self._info_path, json.dumps(asdict(info), indent=2))

    def running_engine(self) -> EngineInfo | None:
        """Return the engine that runs here; None if there is none or if it is still starting. Raises CannotRun."""
        try:
            return self._read_info() if is_locked(self._lock_path) else None
        except OSError as error:
            raise CannotRun(f"{self.path} cannot be read: {error.strerror}.") from error

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

    def _take_lock(self) -> FileLock:
        try:
            # 0711: a system user that runs PostgreSQL has to pass through. Private files have their own permissions.
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            lock = FileLock(self._lock_path)
        except OSError as error:
            raise CannotRun(
                f"{self.path} cannot be used as a data directory: {error.strerror}. Choose another one with --data."
            ) from error
        if lock.try_acquire(_LOCK_TIMEOUT):
            lock.write_holder(os.getpid())
            return lock
        pid = lock.holder
        lock.close()
        process = "" if pid is None else f" (process {pid})"
        raise CannotRun(
            f"Another engine{process} {self._describe_place()}. Stop that one first, or choose another directory with"
            " --data."
        )

    def _describe_place(self) -> str:
        """Where the running engine answers, as far as this user may know, and its directory."""
        try:
            info = self._read_info()
        except (CannotRun, ValueError, TypeError):  # private, or being written
            info = None
        return f"runs in {self.path}" if info is None else f"runs in {self.path} and answers at {info.url}"
